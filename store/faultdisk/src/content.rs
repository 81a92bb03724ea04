//! The bytes of a file in pages that copies share, with a way back to the last sync.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const PAGE: usize = 4096;

/// `None`: zeros.
type Page = Option<Arc<[u8; PAGE]>>;

/// Invariants: the last page is zero beyond `len`; with `old` put back and cut to `old_len` the
/// pages are as the last sync left them.
#[derive(Clone, Default)]
pub(crate) struct Content {
    len: usize,
    pages: Arc<Vec<Page>>,
    /// Pages as they were at the last sync, of those that were touched since.
    old: BTreeMap<usize, Page>,
    old_len: usize,
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Fills `out`, or fails where the file is shorter.
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) -> io::Result<()> {
        if at.checked_add(out.len()).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (index, from, range) in pieces(at, out.len()) {
            let out = &mut out[range];
            match &self.pages[index] {
                Some(page) => out.copy_from_slice(&page[from..from + out.len()]),
                None => out.fill(0),
            }
        }
        Ok(())
    }

    /// Beyond the end the file grows.
    pub(crate) fn write(&mut self, at: usize, data: &[u8]) {
        if !data.is_empty() {
            self.grow(at + data.len());
        }
        for (index, from, range) in pieces(at, data.len()) {
            self.keep_old(index);
            let data = &data[range];
            self.page_mut(index)[from..from + data.len()].copy_from_slice(data);
        }
    }

    pub(crate) fn grow(&mut self, len: usize) {
        if len > self.len {
            self.set_len(len);
        }
    }

    /// New bytes are zeros.
    pub(crate) fn set_len(&mut self, len: usize) {
        let count = len.div_ceil(PAGE);
        if len < self.len {
            for index in count..self.pages.len() {
                // What was zeros comes back as zeros.
                if self.pages[index].is_some() {
                    self.keep_old(index);
                }
            }
            let (last, from) = (len / PAGE, len % PAGE);
            if from > 0 && self.pages[last].is_some() {
                self.keep_old(last);
                self.page_mut(last)[from..].fill(0);
            }
        }
        if count != self.pages.len() {
            Arc::make_mut(&mut self.pages).resize(count, None);
        }
        self.len = len;
    }

    /// What there is now is what a crash goes back to.
    pub(crate) fn sync(&mut self) {
        self.old.clear();
        self.old_len = self.len;
    }

    /// Goes back to the last sync.
    pub(crate) fn roll_back(&mut self) {
        let pages = Arc::make_mut(&mut self.pages);
        pages.resize(self.old_len.div_ceil(PAGE), None);
        for (index, page) in std::mem::take(&mut self.old) {
            pages[index] = page;
        }
        self.len = self.old_len;
    }

    /// Turns a bit over, in what a crash goes back to, too.
    pub(crate) fn flip(&mut self, at: usize, bit: u8) {
        assert!(at < self.len, "the file ends before the bit");
        let (index, from) = (at / PAGE, at % PAGE);
        if at >= self.old_len {
            self.keep_old(index);
        } else if let Some(old) = self.old.get_mut(&index) {
            filled(old)[from] ^= 1 << bit;
        }
        self.page_mut(index)[from] ^= 1 << bit;
    }

    fn keep_old(&mut self, index: usize) {
        if index < self.old_len.div_ceil(PAGE) {
            self.old.entry(index).or_insert_with(|| self.pages[index].clone());
        }
    }

    fn page_mut(&mut self, index: usize) -> &mut [u8; PAGE] {
        filled(&mut Arc::make_mut(&mut self.pages)[index])
    }
}

fn filled(page: &mut Page) -> &mut [u8; PAGE] {
    Arc::make_mut(page.get_or_insert_with(|| Arc::new([0; PAGE])))
}

/// The pages under a range of bytes: index, first byte in the page, place in the range.
fn pieces(at: usize, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let (index, from) = ((at + done) / PAGE, (at + done) % PAGE);
        let range = done..len.min(done + PAGE - from);
        done = range.end;
        (!range.is_empty()).then_some((index, from, range))
    })
}

#[cfg(test)]
mod tests {
    use base::Rng;

    use super::*;

    #[test]
    fn content_is_as_a_vector_and_rolls_back_to_its_last_sync() {
        let mut rng = Rng::from_seed([1; 32]);
        let (mut content, mut model, mut synced) = (Content::default(), Vec::new(), Vec::new());
        for round in 0..2000_u32 {
            let at = rng.below(5 * 4096) as usize;
            match rng.below(8) {
                0 => {
                    content.sync();
                    synced.clone_from(&model);
                }
                1 => {
                    content.roll_back();
                    model.clone_from(&synced);
                }
                2 | 3 => {
                    content.set_len(at);
                    model.resize(at, 0);
                }
                4 if at < model.len() => {
                    content.flip(at, 3);
                    model[at] ^= 8;
                    if let Some(byte) = synced.get_mut(at) {
                        *byte ^= 8;
                    }
                }
                _ => {
                    let data = vec![round.to_le_bytes()[0]; 1 + rng.below(9000) as usize];
                    content.write(at, &data);
                    model.resize(model.len().max(at + data.len()), 0);
                    model[at..at + data.len()].copy_from_slice(&data);
                }
            }
            let mut read = vec![1; content.len()];
            content.read(0, &mut read).unwrap();
            assert!(read == model, "round {round}");
        }
        assert!(content.read(content.len(), &mut [0]).is_err());
    }
}
