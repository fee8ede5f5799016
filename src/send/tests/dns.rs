//! A name server of the test's own, on loopback.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// What a name is.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Alias(String),
    Addresses(Vec<IpAddr>),
}

pub(super) type Zone = HashMap<String, Entry>;

pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    task: AbortHandle,
}

impl NameServer {
    /// Answers out of a zone; names that are not in it do not exist.
    pub(super) async fn of(zone: Zone) -> Self {
        Self::answering(move |name, _| zone.get(name).cloned()).await
    }

    /// `answer` gets each question's name in lower case, without the last dot.
    pub(super) async fn answering(
        answer: impl Fn(&str, RecordType) -> Option<Entry> + Send + Sync + 'static,
    ) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut datagram = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
                let question = Message::from_vec(&datagram[..length]).unwrap();
                let response = respond(&question, &answer).to_vec().unwrap();
                socket.send_to(&response, from).await.unwrap();
            }
        });
        Self {
            address,
            task: serving.abort_handle(),
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// With the whole chain of aliases, as a recursive server answers.
fn respond(question: &Message, answer: &impl Fn(&str, RecordType) -> Option<Entry>) -> Message {
    let query = question.queries[0].clone();
    let mut response = Message::new(
        question.metadata.id,
        MessageType::Response,
        question.metadata.op_code,
    );
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    let mut name = query.name().clone();
    let wanted = query.query_type();
    response.add_query(query);
    loop {
        let text = name.to_ascii().to_lowercase();
        let Some(entry) = answer(text.trim_end_matches('.'), wanted) else {
            response.metadata.response_code = ResponseCode::NXDomain;
            return response;
        };
        match entry {
            Entry::Alias(target) => {
                let target = Name::from_ascii(format!("{target}.")).unwrap();
                let alias = RData::CNAME(CNAME(target.clone()));
                response.add_answer(Record::from_rdata(name, 0, alias));
                name = target;
            }
            Entry::Addresses(addresses) => {
                for address in addresses {
                    let data = match address {
                        IpAddr::V4(address) if wanted == RecordType::A => RData::A(A(address)),
                        IpAddr::V6(address) if wanted == RecordType::AAAA => {
                            RData::AAAA(AAAA(address))
                        }
                        _ => continue,
                    };
                    response.add_answer(Record::from_rdata(name.clone(), 0, data));
                }
                return response;
            }
        }
    }
}
