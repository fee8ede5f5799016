//! Where the frames of a WebSocket begin and end (RFC 6455, section 5.2), told from the bytes
//! that pass by. Pure.

/// What a frame's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub is_final: bool,
    /// Three bits that only an extension may use; none is ever agreed upon.
    pub has_extension: bool,
    pub opcode: u8,
    /// The payload's length in bytes, without head and mask.
    pub length: u64,
}

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;

/// The first opcode of frames that control the connection, and may stand between a message's
/// frames.
pub const CONTROL: u8 = 8;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Head(Head),
    /// Some of the frame's payload, as it stands there: a client's is masked.
    Payload(&'a [u8]),
    /// The frame is whole.
    End,
}

/// Reads the frames of one direction of a connection.
#[derive(Debug, Default)]
pub struct Frames {
    head: [u8; 14],
    /// Bytes of the head so far.
    has: usize,
    /// The payload that is still to come, once the head is whole.
    rest: Option<u64>,
}

impl Frames {
    /// The next part in these bytes, which are cut by what it took; none: more bytes are to
    /// come.
    pub fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Part<'a>> {
        match self.rest {
            Some(0) => {
                (self.has, self.rest) = (0, None);
                Some(Part::End)
            }
            Some(rest) => {
                if bytes.is_empty() {
                    return None;
                }
                let most = usize::try_from(rest).unwrap_or(usize::MAX);
                let (payload, others) = bytes.split_at(most.min(bytes.len()));
                *bytes = others;
                self.rest = Some(rest - payload.len() as u64);
                Some(Part::Payload(payload))
            }
            None => self.head(bytes).map(Part::Head),
        }
    }

    fn head(&mut self, bytes: &mut &[u8]) -> Option<Head> {
        while let Some((byte, others)) = bytes.split_first() {
            *bytes = others;
            self.head[self.has] = *byte;
            self.has += 1;
            let [first, second, ..] = self.head;
            let extended = match second & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let mask = if second & 0x80 == 0 { 0 } else { 4 };
            if self.has < 2 || self.has < 2 + extended + mask {
                continue;
            }
            let long = self.head[2..2 + extended].iter();
            let length = match extended {
                0 => u64::from(second & 0x7f),
                _ => long.fold(0, |length, byte| length << 8 | u64::from(*byte)),
            };
            self.rest = Some(length);
            return Some(Head {
                is_final: first & 0x80 != 0,
                has_extension: first & 0x70 != 0,
                opcode: first & 0x0f,
                length,
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, is_masked: bool, payload: &[u8]) -> Vec<u8> {
        let mask = u8::from(is_masked) << 7;
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            length @ ..126 => bytes.push(mask | u8::try_from(length).unwrap_or_default()),
            length @ ..65_536 => {
                bytes.push(mask | 0x7e);
                bytes.extend(u16::try_from(length).unwrap_or_default().to_be_bytes());
            }
            length => {
                bytes.push(mask | 0x7f);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if is_masked {
            bytes.extend([0; 4]);
        }
        bytes.extend(payload);
        bytes
    }

    proptest! {
        /// Cut anywhere, the same frames come out.
        #[test]
        fn frames_are_found_whatever_pieces_they_come_in(
            sent in prop::collection::vec((0_u8..16, any::<bool>(), prop_oneof![0_usize..300, 65_500..65_600_usize]), 1..5),
            piece in 1_usize..5_000,
        ) {
            let stream: Vec<u8> = sent
                .iter()
                .flat_map(|&(opcode, is_masked, length)| frame(opcode, is_masked, &vec![opcode; length]))
                .collect();
            let mut frames = Frames::default();
            let mut found: Vec<(u8, usize, bool)> = Vec::new();
            for mut bytes in stream.chunks(piece) {
                while let Some(part) = frames.next(&mut bytes) {
                    match part {
                        Part::Head(head) => found.push((head.opcode, 0, false)),
                        Part::Payload(payload) => {
                            let last = found.last_mut().ok_or(TestCaseError::fail("no head"))?;
                            prop_assert!(payload.iter().all(|byte| *byte == last.0));
                            last.1 += payload.len();
                        }
                        Part::End => found.last_mut().ok_or(TestCaseError::fail("no head"))?.2 = true,
                    }
                }
            }
            let expected: Vec<_> = sent.iter().map(|&(opcode, _, length)| (opcode, length, true)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
