use secrecy::{ExposeSecret, SecretSlice};

use super::*;
use crate::model::secret::SecretRef;

const SECRET: &[u8] = b"user:hunter2";
const NONCE: NonceBytes = [7; 12];
const PLACE: Place<'static> = Place {
    id: Uuid::from_u128(1),
    merchant: "acme",
    name: "orders",
};

fn key(byte: u8) -> SecretSlice<u8> {
    let text = new_key(&Zeroizing::new([byte; 32]));
    text.expose_secret().as_bytes().to_vec().into()
}

fn keyring(bytes: &[u8]) -> Keyring {
    let mut keys = Keyring::default();
    for byte in bytes {
        keys.add(&key(*byte)).unwrap();
    }
    keys
}

fn sealed(keys: &Keyring) -> Sealed {
    keys.seal(PLACE, &SECRET.to_vec().into(), NONCE).unwrap()
}

#[test]
fn what_the_first_key_seals_every_ring_with_that_key_opens() {
    let sealed = sealed(&keyring(&[1, 2]));
    assert_ne!(sealed.ciphertext, SECRET);
    assert_eq!(sealed.ciphertext.len(), SECRET.len() + 16);
    for ring in [&[1][..], &[2, 1], &[3, 2, 1]] {
        let opened = keyring(ring).open(PLACE, &sealed).unwrap();
        assert_eq!(opened.expose_secret(), SECRET);
    }
    let error = keyring(&[2, 3]).open(PLACE, &sealed).unwrap_err();
    let expected = format!("key {}", sealed.key_id);
    assert!(error.to_string().contains(&expected), "{error}");
    assert!(error.to_string().contains("secrets.keys"), "{error}");
}

#[test]
fn what_is_changed_or_moved_does_not_open() {
    let keys = keyring(&[1, 2]);
    let other_key = keyring(&[2]).first_id().unwrap().to_owned();
    let sealed = sealed(&keys);
    let moved = [
        Place {
            id: Uuid::from_u128(2),
            ..PLACE
        },
        Place {
            merchant: "globex",
            ..PLACE
        },
        Place {
            name: "other",
            ..PLACE
        },
        // The same letters, cut elsewhere.
        Place {
            merchant: "acmeo",
            name: "rders",
            ..PLACE
        },
    ];
    for place in moved {
        assert!(
            matches!(keys.open(place, &sealed), Err(SecretError::Tampered(_))),
            "{place:?}"
        );
    }
    let changed: [fn(&mut Sealed); 5] = [
        |sealed| sealed.ciphertext[0] ^= 1,
        |sealed| *sealed.ciphertext.last_mut().unwrap() ^= 1,
        |sealed| sealed.nonce[0] ^= 1,
        |sealed| sealed.nonce.truncate(11),
        |sealed| sealed.ciphertext.clear(),
    ];
    for change in changed {
        let mut bad = sealed.clone();
        change(&mut bad);
        let error = keys.open(PLACE, &bad).unwrap_err();
        assert!(
            matches!(&error, SecretError::Tampered(name) if name == "orders"),
            "{error}"
        );
    }
    let of_other_key = Sealed {
        key_id: other_key,
        ..sealed
    };
    assert!(matches!(
        keys.open(PLACE, &of_other_key),
        Err(SecretError::Tampered(_))
    ));
}

#[test]
fn a_key_is_32_bytes_in_base64_and_its_id_tells_nothing() {
    for text in [
        "",
        "hunter2",
        "AAAA",
        &"A".repeat(43),
        &"A".repeat(44),
        &"A".repeat(64),
    ] {
        let mut keys = Keyring::default();
        let error = keys.add(&text.as_bytes().to_vec().into()).unwrap_err();
        assert_eq!(error, KeyError::Form, "{text}");
    }
    let mut keys = keyring(&[1]);
    assert_eq!(keys.add(&key(1)), Err(KeyError::Twice));
    let id = keys.first_id().unwrap();
    assert_eq!(id.len(), 16);
    // HMAC-SHA256 of "posthorn key id 1" under 32 bytes of 0x01.
    assert_eq!(id, "7b8ab8a462447432");
    assert_eq!(format!("{keys:?}"), format!("Keyring([\"{id}\"])"));
    let none = Keyring::default().seal(PLACE, &SECRET.to_vec().into(), NONCE);
    assert_eq!(none, Err(KeyError::NoKeys));
}

#[test]
fn a_merchant_reads_its_own_secrets_only() {
    let keys = keyring(&[1]);
    let row = Stored {
        id: PLACE.id,
        merchant: PLACE.merchant.to_owned(),
        name: PLACE.name.to_owned(),
        sealed: sealed(&keys),
    };
    let opener = Opener::new(&keys, vec![row]);
    let read = |merchant: &str, reference: &str| {
        let from = SecretRef::parse(reference).unwrap();
        opener
            .read(merchant, &from, &|_| Ok(b"elsewhere".to_vec().into()))
            .map(|secret| secret.expose_secret().to_vec())
            .map_err(|error| error.to_string())
    };
    assert_eq!(read("acme", "secret:orders"), Ok(SECRET.to_vec()));
    assert_eq!(read("acme", "env:ORDERS"), Ok(b"elsewhere".to_vec()));
    for (merchant, reference) in [("globex", "secret:orders"), ("acme", "secret:other")] {
        let error = read(merchant, reference).unwrap_err();
        assert!(error.contains("posthorn secrets set"), "{error}");
    }
}
