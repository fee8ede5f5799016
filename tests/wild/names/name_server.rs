//! A name server of the test's own, which can be silent or broken in part.

use std::net::SocketAddr;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

/// What a name server does with a question.
pub enum Says {
    Addresses(Vec<&'static str>),
    Code(ResponseCode),
    /// The question is dropped.
    Nothing,
}

/// Answers each question, by its name in lower case without the last dot and by its type,
/// for as long as the test runs.
pub async fn name_server(
    says: impl Fn(&str, RecordType) -> Says + Send + Sync + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut datagram = [0; 4096];
        loop {
            let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
            let question = Message::from_vec(&datagram[..length]).unwrap();
            if let Some(answer) = answer(&question, &says) {
                let answer = answer.to_vec().unwrap();
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    address
}

fn answer(question: &Message, says: &impl Fn(&str, RecordType) -> Says) -> Option<Message> {
    let query = question.queries[0].clone();
    let mut answer = Message::new(
        question.metadata.id,
        MessageType::Response,
        question.metadata.op_code,
    );
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    let name = query.name().clone();
    let kind = query.query_type();
    answer.add_query(query);
    let text = name.to_ascii().to_lowercase();
    match says(text.trim_end_matches('.'), kind) {
        Says::Nothing => return None,
        Says::Code(code) => answer.metadata.response_code = code,
        Says::Addresses(addresses) => {
            for address in addresses {
                let data = match kind {
                    RecordType::A => address.parse().map(A).map(RData::A),
                    _ => address.parse().map(AAAA).map(RData::AAAA),
                };
                // One of the other family is no answer to this question.
                if let Ok(data) = data {
                    answer.add_answer(Record::from_rdata(name.clone(), 0, data));
                }
            }
        }
    }
    Some(answer)
}
