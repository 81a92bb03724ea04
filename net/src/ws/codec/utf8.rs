//! Text that comes in pieces, of which the first wrong byte is to be seen at once.

/// How far a text is (RFC 3629, 4). What is whole is checked elsewhere, faster.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    /// Bytes that the character under way still needs, and what the next of them may be.
    needed: u8,
    low: u8,
    high: u8,
}

impl Utf8 {
    /// Reads a masked payload from this byte on. None when it can become no text.
    pub(super) fn read(&mut self, masked: &[u8], mask: [u8; 4], from: usize) -> Option<()> {
        for (index, byte) in masked.iter().enumerate().skip(from) {
            self.push(byte ^ mask[index % 4])?;
        }
        Some(())
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        if self.needed > 0 {
            if !(self.low..=self.high).contains(&byte) {
                return None;
            }
            *self = Utf8 { needed: self.needed - 1, low: 0x80, high: 0xbf };
            return Some(());
        }
        let (needed, low, high) = match byte {
            0x00..=0x7f => (0, 0, 0),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            0x80..=0xc1 | 0xf5..=0xff => return None,
        };
        *self = Utf8 { needed, low, high };
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The first wrong byte is where the standard library finds it: at a character's first byte
        /// that cannot be, or at the first that does not go on with it.
        #[test]
        fn the_first_wrong_byte_is_found(
            text in "\\PC{0,6}",
            tail in proptest::collection::vec(any::<u8>(), 0..4),
            mask: [u8; 4],
            cut: proptest::sample::Index,
        ) {
            let bytes = [text.as_bytes(), &tail].concat();
            let masked = bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
            let masked: Vec<u8> = masked.collect();
            for length in 0..=masked.len() {
                let from = cut.index(length + 1);
                let mut utf8 = Utf8::default();
                let read = utf8.read(&masked[..from], mask, 0);
                let read = read.and_then(|()| utf8.read(&masked[..length], mask, from));
                let is_hopeless = std::str::from_utf8(&bytes[..length])
                    .is_err_and(|error| error.error_len().is_some());
                prop_assert_eq!(read.is_none(), is_hopeless, "{:?}", &bytes[..length]);
            }
        }
    }
}
