//! Files as this collector compresses them: frames of Zstandard (RFC 8878), one behind the other.

use std::io::{self, BufRead, BufReader, Error, Read};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// How a frame begins (RFC 8878 section 3.1.1).
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads what is in the frames.
pub(super) struct Frames<R: Read> {
    /// The frame at hand; `None` behind the last one, and after an error.
    frame: Option<StreamingDecoder<BufReader<R>, FrameDecoder>>,
}

impl<R: Read> Frames<R> {
    /// Fails if there is no frame at the start of `input`.
    pub(super) fn new(input: BufReader<R>) -> io::Result<Self> {
        Ok(Self { frame: Some(StreamingDecoder::new(input).map_err(Error::other)?) })
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while let Some(mut frame) = self.frame.take() {
            let octets = frame.read(to)?;
            if octets > 0 || to.is_empty() {
                self.frame = Some(frame);
                return Ok(octets);
            }
            let (mut input, decoder) = frame.into_parts();
            let told = decoder.get_checksum_from_data();
            if told.is_some() && told != decoder.get_calculated_checksum() {
                return Err(Error::other("a frame's checksum is wrong"));
            }
            if !input.fill_buf()?.is_empty() {
                *self = Self::new(input)?;
            }
        }
        Ok(0)
    }
}
