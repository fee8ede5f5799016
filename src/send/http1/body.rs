//! The body of an answer, a piece at a time.

use bytes::{Buf, BytesMut};

use super::framing::Framing;
use super::{Broken, Connection, Head};

/// The longest line between two chunks, bytes. They may carry extensions, which nobody reads.
const LONGEST_LINE: usize = 4 * 1024;

const CHUNKS: Broken = Broken::Malformed("the answer's chunks are malformed");

#[derive(Debug)]
pub(in crate::send) struct Body(Left);

#[derive(Clone, Copy, Debug)]
enum Left {
    Bytes(u64),
    UntilClosed,
    /// A chunk's length comes next.
    Chunks,
    /// So many bytes of a chunk, and then its end.
    Chunk(u64),
    ChunkEnd,
    /// Nothing of the content, but the last chunk's end is not there.
    OpenEnd,
}

impl Body {
    pub(in crate::send) const fn of(head: &Head) -> Self {
        Self(match head.framing {
            Framing::Length(length) => Left::Bytes(length),
            Framing::Chunked => Left::Chunks,
            Framing::UntilClosed => Left::UntilClosed,
        })
    }

    /// Reads the next piece of the body; none at its end. The content of a chunked body is complete
    /// with the chunk of length zero (RFC 9112, section 8); what would come behind it is waited for
    /// by nobody, and where it is not there yet, the connection is closed.
    pub(in crate::send) async fn piece(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<BytesMut>, Broken> {
        loop {
            match self.0 {
                Left::Bytes(0) | Left::OpenEnd => return Ok(None),
                Left::Bytes(left) => {
                    let piece = some_of(connection, left).await?;
                    self.0 = Left::Bytes(left - length(&piece));
                    return Ok(Some(piece));
                }
                Left::UntilClosed => {
                    let more = !connection.ahead.is_empty() || connection.read_or_end().await?;
                    return Ok(more.then(|| connection.ahead.split()));
                }
                Left::Chunks => match size(&line(connection).await?)? {
                    0 if connection.ahead.starts_with(b"\r\n") => {
                        connection.ahead.advance(2);
                        self.0 = Left::Bytes(0);
                    }
                    0 => self.0 = Left::OpenEnd,
                    size => self.0 = Left::Chunk(size),
                },
                Left::Chunk(0) => self.0 = Left::ChunkEnd,
                Left::Chunk(left) => {
                    let piece = some_of(connection, left).await?;
                    self.0 = Left::Chunk(left - length(&piece));
                    return Ok(Some(piece));
                }
                Left::ChunkEnd => {
                    if !line(connection).await?.is_empty() {
                        return Err(CHUNKS);
                    }
                    self.0 = Left::Chunks;
                }
            }
        }
    }

    /// Whether the body's end came, so that another answer can follow it.
    pub(in crate::send) const fn has_ended(&self) -> bool {
        matches!(self.0, Left::Bytes(0))
    }
}

/// What there is, at least a byte and at most so many.
async fn some_of(connection: &mut Connection, most: u64) -> Result<BytesMut, Broken> {
    if connection.ahead.is_empty() {
        connection.read().await?;
    }
    let there = connection.ahead.len();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Ok(connection.ahead.split_to(there.min(most)))
}

/// Reads a line, and gives it without its end.
async fn line(connection: &mut Connection) -> Result<BytesMut, Broken> {
    loop {
        if let Some(end) = connection.ahead.iter().position(|&byte| byte == b'\n') {
            let mut line = connection.ahead.split_to(end + 1);
            line.truncate(end);
            if line.ends_with(b"\r") {
                line.truncate(end - 1);
            }
            return Ok(line);
        }
        if connection.ahead.len() > LONGEST_LINE {
            return Err(CHUNKS);
        }
        connection.read().await?;
    }
}

/// Hexadecimal digits, and what may be an extension behind them.
fn size(line: &[u8]) -> Result<u64, Broken> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits.trim_ascii()).map_err(|_| CHUNKS)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(CHUNKS);
    }
    u64::from_str_radix(digits, 16).map_err(|_| CHUNKS)
}

fn length(piece: &BytesMut) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}
