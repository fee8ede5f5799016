//! Every way that is known to make a sender connect to an address that it must not: each is
//! sent whole, and what the connector dials is written down by a dialler that opens no
//! connection but to the test's own receiver. Even with a broken guard no packet leaves.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use tokio::net::TcpStream;

use super::dns::{Entry, NameServer, Zone};
use super::receiver::Receiver;
use super::{ANSWER_CAP, Network, Sender, TlsSettings, allowing, failure, send, subscription};
use crate::config::NAT64_LENGTHS;
use crate::model::subscription::Exit;
use crate::model::{FailureClass, Wire};
use crate::send::Proxy;
use crate::send::connector::Outside;
use crate::send::dial::Dial;

/// One in each range that is not for the public, and at the edges of some.
const FORBIDDEN_V4: &[[u8; 4]] = &[
    [0, 0, 0, 0],
    [0, 1, 2, 3],
    [10, 0, 0, 1],
    [10, 255, 255, 255],
    [100, 64, 0, 1],
    [100, 100, 100, 200],
    [127, 0, 0, 1],
    [127, 255, 255, 254],
    [168, 63, 129, 16],
    [169, 254, 0, 1],
    [169, 254, 169, 254],
    [169, 254, 170, 2],
    [172, 16, 0, 1],
    [172, 31, 255, 255],
    [192, 0, 0, 192],
    [192, 0, 2, 1],
    [192, 88, 99, 1],
    [192, 168, 0, 1],
    [198, 18, 0, 1],
    [198, 19, 255, 255],
    [198, 51, 100, 1],
    [203, 0, 113, 1],
    [224, 0, 0, 1],
    [239, 255, 255, 250],
    [240, 0, 0, 1],
    [255, 255, 255, 255],
];

/// IPv6 forms that carry no IPv4 address.
const FORBIDDEN_V6: &[&str] = &[
    "::",
    "::1",
    "100::1",
    "2001:1::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:1ff::1",
    "2001:db8::1",
    "3ffe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
];

/// Those that carry one are refused whatever it is.
fn carrying(v4: Ipv4Addr) -> Vec<Ipv6Addr> {
    let [a, b, c, d] = v4.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let local = |prefix| nat64("64:ff9b:1::".parse().unwrap(), prefix, v4);
    vec![
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        local(48),
        local(56),
        local(64),
        local(96),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        // Teredo: the server's address, and the client's with its bits turned.
        Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0, 0),
        Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low),
        Ipv6Addr::new(0x2a00, 0x1450, 0x4001, 0x809, 0, 0x5efe, high, low),
        Ipv6Addr::new(0x2a00, 0x1450, 0x4001, 0x809, 0x200, 0x5efe, high, low),
    ]
}

/// RFC 6052, section 2.2, written the other way round than the guard reads it.
fn nat64(prefix: Ipv6Addr, length: u8, v4: Ipv4Addr) -> Ipv6Addr {
    let mut octets = prefix.octets();
    let mut at = usize::from(length / 8);
    for octet in v4.octets() {
        if at == 8 {
            at += 1;
        }
        octets[at] = octet;
        at += 1;
    }
    octets.into()
}

/// What URL parsers, C libraries and people take for the same IPv4 address.
fn spellings(v4: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = v4.octets();
    let whole = u32::from(v4);
    let fullwidth = |text: &str| -> String {
        let wide = |c: char| char::from_u32(u32::from(c) - 0x20 + 0xff00).unwrap();
        text.chars().map(wide).collect()
    };
    vec![
        v4.to_string(),
        format!("{v4}."),
        whole.to_string(),
        format!("0x{whole:x}"),
        format!("0X{whole:08X}"),
        format!("0{whole:o}"),
        format!("0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("0000{a:o}.0x{b:02x}.{c}.{d}"),
        format!("{a}.{}", whole & 0xff_ffff),
        format!("{a}.{b}.{}", whole & 0xffff),
        format!("{a}\u{3002}{b}\u{ff0e}{c}\u{ff61}{d}"),
        fullwidth(&v4.to_string()),
        format!(
            "%3{}{}",
            a.to_string().chars().next().unwrap(),
            &v4.to_string()[1..]
        ),
        format!("[::ffff:{v4}]"),
        format!(
            "[0:0:0:0:0:FFFF:{:04X}:{:04X}]",
            whole >> 16,
            whole & 0xffff
        ),
    ]
}

/// A request that must not lead to a connection.
struct Vector {
    what: String,
    url: String,
}

#[derive(Default)]
struct Vectors {
    urls: Vec<Vector>,
    zone: Zone,
}

impl Vectors {
    fn literal(&mut self, host: &str) {
        for scheme in ["https", "http"] {
            self.urls.push(Vector {
                what: "literal".to_owned(),
                url: format!("{scheme}://{host}/hook"),
            });
        }
    }

    fn name(&mut self, what: &str, addresses: &[IpAddr]) -> String {
        let name = format!("v{}.test", self.zone.len());
        self.zone
            .insert(name.clone(), Entry::Addresses(addresses.to_vec()));
        self.url(what, &name);
        name
    }

    fn alias(&mut self, what: &str, of: &str) -> String {
        let name = format!("v{}.test", self.zone.len());
        self.zone.insert(name.clone(), Entry::Alias(of.to_owned()));
        self.url(what, &name);
        name
    }

    fn url(&mut self, what: &str, host: &str) {
        self.urls.push(Vector {
            what: what.to_owned(),
            url: format!("https://{host}/hook"),
        });
    }
}

fn forbidden() -> Vectors {
    let mut vectors = Vectors::default();
    let v4 = FORBIDDEN_V4.iter().map(|&octets| Ipv4Addr::from(octets));
    let v6 = FORBIDDEN_V6
        .iter()
        .map(|text| text.parse::<Ipv6Addr>().unwrap());
    for address in v4.clone() {
        vectors.literal(&address.to_string());
    }
    for address in v6.clone() {
        vectors.literal(&format!("[{address}]"));
    }
    for address in [
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.0.1",
        "0.0.0.0",
    ] {
        for spelling in spellings(address.parse().unwrap()) {
            vectors.url("spelling", &spelling);
        }
    }
    for carried in ["127.0.0.1", "169.254.169.254", "10.0.0.1", "8.8.8.8"] {
        for address in carrying(carried.parse().unwrap()) {
            vectors.url("carrying", &format!("[{address}]"));
            vectors.name("carrying, by name", &[address.into()]);
        }
    }
    for name in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "a.localhost.",
    ] {
        vectors.url("name of this machine", name);
    }
    let open = (
        IpAddr::from([198, 41, 0, 4]),
        "2a00:1450:4001:809::200e".parse().unwrap(),
    );
    let every = v4.map(IpAddr::from).chain(v6.map(IpAddr::from));
    for address in every {
        let name = vectors.name("answer", &[address]);
        let alias = vectors.alias("alias", &name);
        vectors.alias("alias of an alias", &alias);
        vectors.name("mixed, last", &[open.0, open.1, address]);
        vectors.name("mixed, first", &[address, open.0]);
        vectors.name(
            "mixed, among many",
            &[[open.0; 12].as_slice(), &[address]].concat(),
        );
    }
    vectors
}

/// What was dialled, in order.
#[derive(Clone, Default)]
struct Dialled(Arc<Mutex<Vec<SocketAddr>>>);

impl Dialled {
    /// Every dial is refused, except that of `open`, which ends at a receiver of ours.
    fn dial(&self, open: Option<(SocketAddr, SocketAddr)>) -> Dial {
        let dialled = Arc::clone(&self.0);
        Arc::new(move |target, _| {
            dialled.lock().unwrap().push(target);
            match open {
                Some((address, receiver)) if address == target => {
                    TcpStream::connect(receiver).boxed()
                }
                _ => async { Err(std::io::ErrorKind::ConnectionRefused.into()) }.boxed(),
            }
        })
    }

    fn take(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn sender(network: Network, dial: Dial) -> Sender {
    Sender::by(Outside::dialling(network, dial), ANSWER_CAP)
}

fn asking(server: &NameServer) -> Network {
    Network {
        name_servers: vec![server.address],
        ..Network::default()
    }
}

#[tokio::test]
async fn no_vector_leads_to_a_dial() {
    let Vectors { urls, zone } = forbidden();
    assert!(urls.len() >= 300, "{}", urls.len());
    let server = NameServer::of(zone).await;
    let dialled = Dialled::default();
    let direct = subscription(TlsSettings::default());
    let mut proxied = direct.clone();
    proxied.exit = Exit {
        proxy_pool: Some("dmz".to_owned()),
        ..Exit::default()
    };
    let mut network = asking(&server);
    let proxy = Proxy {
        host: "127.0.0.1".to_owned(),
        port: 3128,
        authorization: None,
    };
    network.proxy_pools = HashMap::from([("dmz".to_owned(), vec![proxy])]);
    let sender = sender(network, dialled.dial(None));

    let mut classes = HashMap::new();
    for Vector { what, url } in &urls {
        // What is not a URL never becomes a request.
        let Ok(parsed) = url::Url::parse(url) else {
            *classes.entry("not a URL").or_insert(0) += 1;
            continue;
        };
        for subscription in [&direct, &proxied] {
            let outcome = send(&sender, parsed.as_str(), subscription).await;
            let (class, detail) = failure(outcome);
            assert_eq!(class, FailureClass::Refused, "{what}: {url}: {detail}");
            assert_eq!(dialled.take(), [], "{what}: {url}");
        }
        *classes.entry("refused").or_insert(0) += 1;
    }
    println!("{} vectors, 0 dials: {classes:?}", urls.len());
}

#[tokio::test]
async fn with_nat64_the_carried_address_decides_at_every_prefix_length() {
    let server = NameServer::of(Zone::new()).await;
    let dialled = Dialled::default();
    for length in NAT64_LENGTHS {
        let prefix: Ipv6Addr = "2a00:64::".parse().unwrap();
        let mut network = asking(&server);
        network.policy.nat64_prefixes = vec![format!("{prefix}/{length}").parse().unwrap()];
        let sender = sender(network, dialled.dial(None));
        let subscription = subscription(TlsSettings::default());
        for &octets in FORBIDDEN_V4 {
            let url = format!("https://[{}]/", nat64(prefix, length, octets.into()));
            let (class, detail) = failure(send(&sender, &url, &subscription).await);
            assert_eq!(class, FailureClass::Refused, "{url}: {detail}");
        }
        assert_eq!(dialled.take(), []);
        let open = nat64(prefix, length, [198, 41, 0, 4].into());
        send(&sender, &format!("https://[{open}]/"), &subscription).await;
        assert_eq!(dialled.take(), [SocketAddr::new(open.into(), 443)]);
    }
}

/// Addresses of public services and networks, and the neighbours of special ranges.
const PUBLIC: &[&str] = &[
    "1.0.0.1",
    "1.1.1.1",
    "4.2.2.2",
    "8.8.4.4",
    "8.8.8.8",
    "9.9.9.9",
    "9.255.255.255",
    "11.0.0.0",
    "12.34.56.78",
    "17.253.144.10",
    "23.215.0.136",
    "34.117.59.81",
    "52.95.110.1",
    "64.6.64.6",
    "76.76.2.0",
    "80.80.80.80",
    "93.184.215.14",
    "94.140.14.14",
    "99.255.255.255",
    "100.63.255.255",
    "100.128.0.0",
    "104.16.132.229",
    "126.255.255.255",
    "128.0.0.1",
    "140.82.112.3",
    "151.101.1.69",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "185.199.108.153",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "193.0.6.139",
    "198.17.255.255",
    "198.20.0.0",
    "198.41.0.4",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "208.67.222.222",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:67c:2e8:22::c100:68b",
    "2003::1",
    "2400:cb00:2048:1::6814:1",
    "2600:1f18::1",
    "2606:4700:4700::1111",
    "2607:f8b0:4004:c07::71",
    "2620:fe::fe",
    "2800:3f0:4001:80a::200e",
    "2a00:1450:4001:809::200e",
    "2a01:5efe::1",
    "2a04:4e42::223",
    "2c0f:fb50::1",
];

#[tokio::test]
async fn no_public_address_is_refused_by_mistake() {
    let addresses: Vec<IpAddr> = PUBLIC.iter().map(|text| text.parse().unwrap()).collect();
    assert!(addresses.len() >= 60);
    let mut controls = Vectors::default();
    for &address in &addresses {
        let name = controls.name("name", &[address]);
        controls.alias("alias", &name);
    }
    let Vectors { urls, zone } = controls;
    let server = NameServer::of(zone).await;
    let dialled = Dialled::default();
    let sender = sender(asking(&server), dialled.dial(None));
    let subscription = subscription(TlsSettings::default());
    let dial = async |url: &str, expected: IpAddr| {
        let outcome = send(&sender, url, &subscription).await;
        assert_eq!(failure(outcome).0, FailureClass::Connect, "{url}");
        assert_eq!(dialled.take(), [SocketAddr::new(expected, 443)], "{url}");
    };
    for (vectors, &address) in urls.chunks(2).zip(&addresses) {
        dial(
            &format!("https://{}/", SocketAddr::new(address, 443)),
            address,
        )
        .await;
        for vector in vectors {
            dial(&vector.url, address).await;
        }
    }
    println!("{} public controls, 0 refused", 3 * addresses.len());
}

/// Plain http is open for one address, so that the receiver needs no certificate.
#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let open: SocketAddr = "198.41.0.4:80".parse().unwrap();
    let server = NameServer::of(Zone::new()).await;
    for status in [301, 302, 303, 307, 308] {
        for location in [
            "http://127.0.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "//10.0.0.1/",
            "http://localhost:6379/",
            "http://[::1]/",
            "file:///etc/passwd",
            "/again",
        ] {
            let answer = format!(
                "HTTP/1.1 {status} Away\r\nlocation: {location}\r\nrefresh: 0;url={location}\r\n\
                 content-length: 0\r\n\r\n"
            );
            let receiver = Receiver::answering(answer.leak()).await;
            let dialled = Dialled::default();
            let network = Network {
                name_servers: vec![server.address],
                ..allowing(&["198.41.0.4/32"])
            };
            let sender = sender(network, dialled.dial(Some((open, receiver.address))));
            let subscription = subscription(TlsSettings::default());
            let outcome = send(&sender, "http://198.41.0.4/hook", &subscription).await;
            assert!(matches!(outcome.wire, Wire::Answer(answer) if answer.status == status));
            assert_eq!(dialled.take(), [open], "{status} to {location}");
        }
    }
}

#[tokio::test]
async fn ports_can_be_restricted() {
    let server = NameServer::of(Zone::from([(
        "open.test".to_owned(),
        Entry::Addresses(vec![[198, 41, 0, 4].into()]),
    )]))
    .await;
    let dialled = Dialled::default();
    let mut network = asking(&server);
    network.policy.ports = vec![443..=443];
    let sender = sender(network, dialled.dial(None));
    let subscription = subscription(TlsSettings::default());
    for host in [
        "open.test:8443",
        "open.test:22",
        "198.41.0.4:444",
        "open.test:80",
    ] {
        let outcome = send(&sender, &format!("https://{host}/"), &subscription).await;
        assert_eq!(failure(outcome).0, FailureClass::Refused, "{host}");
    }
    assert_eq!(dialled.take(), []);
    send(&sender, "https://open.test/", &subscription).await;
    assert_eq!(dialled.take().len(), 1);
}
