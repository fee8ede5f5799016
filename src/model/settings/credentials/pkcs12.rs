//! A certificate with its chain and key in one file (RFC 7292).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use p12_keystore::error::Error;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy, PrivateKeyChain};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// Why a PKCS#12 file gives no client certificate.
pub(super) enum Closed {
    Password,
    Content(&'static str),
}

/// Takes the chain, leaf first, and the key out of the file, as
/// [`TlsSettings::client_identity`](crate::model::subscription::TlsSettings) holds them.
pub(super) fn open(file: &[u8], password: &SecretString) -> Result<SecretSlice<u8>, Closed> {
    let decoded = of_base64(file);
    let file = decoded.as_deref().map_or(file, Vec::as_slice);
    let store = KeyStore::from_pkcs12(file, password.expose_secret(), Pkcs12ImportPolicy::Strict)
        .map_err(|error| closed(&error))?;
    let mut keys = store.entries().filter_map(|(_, entry)| match entry {
        KeyStoreEntry::PrivateKeyChain(chain) => Some(chain),
        KeyStoreEntry::Certificate(_) | KeyStoreEntry::Secret(_) => None,
    });
    match (keys.next(), keys.next()) {
        (Some(chain), None) => Ok(pem_of(chain)),
        (None, _) => Err(Closed::Content(
            "holds no private key with its certificate; export both",
        )),
        (Some(_), Some(_)) => Err(Closed::Content(
            "holds more than one private key; export the one that is meant alone",
        )),
    }
}

/// Decodes a file that stands in base64, as in an environment variable, which holds no binary.
/// PKCS#12 itself begins with the byte 0x30, which in base64 begins with `M`.
fn of_base64(file: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if file.first() != Some(&b'M') {
        return None;
    }
    let text: Zeroizing<Vec<u8>> = Zeroizing::new(
        file.iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect(),
    );
    BASE64_STANDARD.decode(&*text).ok().map(Zeroizing::new)
}

fn closed(error: &Error) -> Closed {
    match error {
        Error::MacError(_) | Error::UnpadError => Closed::Password,
        Error::DerError(_) | Error::IoError(_) | Error::X509Error(_) => Closed::Content(
            "is not PKCS#12 or is damaged; give a .p12 or .pfx file as it was exported",
        ),
        _ => Closed::Content(
            "is encrypted in a way that is not supported; export it anew, such as with openssl pkcs12 -export",
        ),
    }
}

fn pem_of(chain: &PrivateKeyChain) -> SecretSlice<u8> {
    let certificates = chain
        .certs()
        .iter()
        .map(|cert| ("CERTIFICATE", cert.as_der()));
    let blocks: Vec<_> = certificates
        .chain([("PRIVATE KEY", chain.key().as_der())])
        .map(|(label, der)| (label, Zeroizing::new(BASE64_STANDARD.encode(der))))
        .collect();
    let size = |(label, text): &(&str, Zeroizing<String>)| {
        let lines = text.len().div_ceil(LINE);
        "-----BEGIN -----\n-----END -----\n".len() + 2 * label.len() + text.len() + lines
    };
    // Reserved in full, as in `joined`.
    let mut pem = Vec::with_capacity(blocks.iter().map(size).sum());
    for (label, text) in &blocks {
        pem.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
        for line in text.as_bytes().chunks(LINE) {
            pem.extend_from_slice(line);
            pem.push(b'\n');
        }
        pem.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    }
    pem.into()
}

/// The length of a line of PEM, in characters (RFC 7468, section 2).
const LINE: usize = 64;
