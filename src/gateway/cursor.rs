//! A position as text that clients keep. It is sealed: one that nobody was given could make
//! the database read far more than any client needs. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::position::Position;
use crate::model::{Snapshot, TokenKey};

/// The first byte of every cursor, so that a later form can be told from this one.
const VERSION: u8 = 1;

/// What a client keeps to go on where it was: a position, and what is needed where that means
/// nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The cluster that the position belongs to.
    pub cluster: ClusterMark,
    /// When the position was taken, in milliseconds since 1970 by the database's clock.
    pub taken_ms: u64,
    /// The least id that is wanted; nil for everything.
    pub floor: Uuid,
    /// What the client has seen.
    pub position: Position,
}

/// Tells the cluster that a position's transaction numbers belong to from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterMark([u8; 8]);

impl ClusterMark {
    /// The mark of a name that `posthorn.cluster()` gives, which is nobody else's business.
    #[must_use]
    pub fn of(cluster: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, cluster.as_bytes());
        let mut mark = [0; 8];
        for (byte, from) in mark.iter_mut().zip(digest.as_ref()) {
            *byte = *from;
        }
        Self(mark)
    }
}

/// A text that is no cursor of this database's gateways.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor; give one as it was received, or start or now")]
pub struct NotACursor;

impl Cursor {
    /// Writes and seals the cursor in letters, digits, `-` and `_`: about 50 characters, and two or
    /// three for each transaction that ran.
    #[must_use]
    pub fn encode(&self, key: &TokenKey) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.cluster.0);
        put(&mut bytes, self.taken_ms);
        put_uuid(&mut bytes, self.floor);
        put_snapshot(&mut bytes, &self.position.from);
        match &self.position.within {
            None => bytes.push(0),
            Some((until, seen)) => {
                bytes.push(1);
                put_uuid(&mut bytes, *seen);
                put_snapshot(&mut bytes, until);
            }
        }
        bytes.extend(key.seal(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor that was sealed with this key.
    pub fn decode(text: &str, key: &TokenKey) -> Result<Self, NotACursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        let (bytes, seal) = bytes.split_last_chunk::<12>().ok_or(NotACursor)?;
        if !bool::from(key.seal(bytes).ct_eq(seal)) {
            return Err(NotACursor);
        }
        let mut rest = Rest(bytes);
        let cursor = rest.cursor().ok_or(NotACursor)?;
        if rest.0.is_empty() {
            Ok(cursor)
        } else {
            Err(NotACursor)
        }
    }
}

/// Writes a number in LEB128: seven bits a byte, the low ones first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

/// Writes an id: a byte for nil, which is the usual floor.
fn put_uuid(bytes: &mut Vec<u8>, id: Uuid) {
    bytes.push(u8::from(!id.is_nil()));
    if !id.is_nil() {
        bytes.extend(id.as_bytes());
    }
}

fn put_snapshot(bytes: &mut Vec<u8>, snapshot: &Snapshot) {
    put(bytes, snapshot.xmin);
    put(bytes, snapshot.xmax - snapshot.xmin);
    put(bytes, snapshot.running.len() as u64);
    let mut last = snapshot.xmin;
    for xid in &snapshot.running {
        put(bytes, xid - last);
        last = *xid;
    }
}

/// The bytes of a cursor that are left to read. Where a read gives none, it is no cursor.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn cursor(&mut self) -> Option<Cursor> {
        if self.byte()? != VERSION {
            return None;
        }
        let (mark, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(Cursor {
            cluster: ClusterMark(*mark),
            taken_ms: self.number()?,
            floor: self.uuid()?,
            position: Position {
                from: self.snapshot()?,
                within: if self.flag()? {
                    let seen = self.uuid()?;
                    Some((self.snapshot()?, seen))
                } else {
                    None
                },
            },
        })
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if (part << shift) >> shift != part {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn uuid(&mut self) -> Option<Uuid> {
        if !self.flag()? {
            return Some(Uuid::nil());
        }
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(Uuid::from_bytes(*bytes))
    }

    /// Reads a snapshot that PostgreSQL takes: ascending, and within its bounds.
    fn snapshot(&mut self) -> Option<Snapshot> {
        let xmin = self.number()?;
        let xmax = xmin.checked_add(self.number()?)?;
        let count = self.number()?;
        let mut running = Vec::new();
        let mut last = xmin;
        for _ in 0..count {
            let next = last.checked_add(self.number()?)?;
            if next >= xmax || running.last().is_some_and(|before| *before >= next) {
                return None;
            }
            running.push(next);
            last = next;
        }
        let is_one = xmin > 0 && i64::try_from(xmax).is_ok();
        is_one.then_some(Snapshot {
            xmin,
            xmax,
            running,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey::new(&[7; 32])
    }

    fn cursor(from: &str, within: Option<(&str, u128)>) -> Cursor {
        let snapshot = |text: &str| text.parse().unwrap();
        Cursor {
            cluster: ClusterMark::of("7/1/2"),
            taken_ms: 1_700_000_000_000,
            floor: Uuid::nil(),
            position: Position {
                from: snapshot(from),
                within: within.map(|(until, seen)| (snapshot(until), Uuid::from_u128(seen))),
            },
        }
    }

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let floor = Uuid::from_u128(7);
        for cursor in [
            cursor("3:3:", None),
            cursor("10:20:10,14,19", Some(("14:400000:14", 99))),
            Cursor {
                floor,
                ..cursor("5:9:5", None)
            },
        ] {
            let text = cursor.encode(&key());
            assert_eq!(Cursor::decode(&text, &key()), Ok(cursor), "{text}");
        }
    }

    #[test]
    fn a_running_server_makes_a_short_cursor() {
        let running: Vec<u64> = (1_000_000..1_000_128).step_by(2).collect();
        let mut cursor = cursor("3:3:", None);
        cursor.position.from = Snapshot {
            xmin: 1_000_000,
            xmax: 1_000_130,
            running,
        };
        let text = cursor.encode(&key());
        assert!(text.len() < 150, "{}", text.len());
    }

    #[test]
    fn what_nobody_was_given_is_refused() {
        let good = cursor("10:20:10,14", None).encode(&key());
        let other = cursor("10:20:10,14", None).encode(&TokenKey::new(&[8; 32]));
        let changed = format!("{}{}", &good[..20], good[20..].replace('A', "B"));
        for text in ["", "start", "AA", "!!", &good[1..], &other, &changed] {
            assert_eq!(Cursor::decode(text, &key()), Err(NotACursor), "{text}");
        }
    }
}
