//! Bytes on their way to one peer, and the messages that they are of.

use std::collections::VecDeque;

/// Room for ends of messages that is kept while there is nothing to send.
const ENDS_KEPT: usize = 4;

/// Owns no bytes once the peer has taken all.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Not taken yet from `taken` on.
    bytes: Vec<u8>,
    taken: usize,
    /// All bytes that the peer has taken since the beginning.
    taken_total: u64,
    /// Where messages end that it has not taken whole, counted the same way.
    message_ends: VecDeque<u64>,
}

impl Outgoing {
    /// Bytes that the peer has still to take.
    pub(super) fn size(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Messages that the peer has not taken whole.
    pub(super) fn message_count(&self) -> usize {
        self.message_ends.len()
    }

    /// What is to be written next.
    pub(super) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Where more is appended.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Notes that a message ends behind so many bytes that are still to be appended.
    pub(super) fn end_message(&mut self, ahead: usize) {
        self.message_ends.push_back(self.taken_total + (self.size() + ahead) as u64);
    }

    /// The peer has taken so many bytes more.
    pub(super) fn advance(&mut self, count: usize) {
        self.taken += count;
        self.taken_total += count as u64;
        while self.message_ends.front().is_some_and(|end| *end <= self.taken_total) {
            self.message_ends.pop_front();
        }
        if self.taken >= self.bytes.len() {
            self.bytes = Vec::new();
            self.taken = 0;
            self.message_ends.shrink_to(ENDS_KEPT);
        } else if self.taken > self.bytes.len() / 2 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Drops everything behind the message that the peer is in the middle of, or has to take next;
    /// false if there is none, and nothing can be cut.
    pub(super) fn cut(&mut self) -> bool {
        let Some(end) = self.message_ends.pop_front() else {
            return false;
        };
        let kept = usize::try_from(end - self.taken_total).unwrap_or(usize::MAX);
        self.bytes.truncate(self.taken.saturating_add(kept));
        self.bytes.shrink_to_fit();
        self.message_ends = VecDeque::new();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(messages: &[&str]) -> Outgoing {
        let mut outgoing = Outgoing::default();
        for message in messages {
            outgoing.end_message(message.len());
            outgoing.buffer().extend_from_slice(message.as_bytes());
        }
        outgoing
    }

    #[test]
    fn messages_count_until_they_are_taken_whole() {
        let mut outgoing = filled(&["one", "two", "three"]);
        for (taken, size, count) in [(2, 9, 3), (1, 8, 2), (4, 4, 1), (3, 1, 1), (1, 0, 0)] {
            outgoing.advance(taken);
            assert_eq!((outgoing.size(), outgoing.message_count()), (size, count));
        }
        assert_eq!(outgoing.bytes.capacity(), 0);
        outgoing.end_message(2);
        assert_eq!(outgoing.message_count(), 1);
        outgoing.buffer().extend_from_slice(b"ok");
        outgoing.advance(2);
        assert_eq!(outgoing.message_count(), 0);
    }

    #[test]
    fn a_cut_leaves_the_message_under_way() {
        for (taken, left) in [(0, "one"), (2, "e"), (3, "two"), (4, "wo"), (10, "e")] {
            let mut outgoing = filled(&["one", "two", "three"]);
            outgoing.advance(taken);
            assert!(outgoing.cut());
            assert_eq!(outgoing.unwritten(), left.as_bytes());
            assert_eq!(outgoing.message_count(), 0);
        }
        assert!(!Outgoing::default().cut());
    }

    #[test]
    fn what_is_kept_of_a_burst_is_little() {
        let mut outgoing = filled(&["x"; 1000]);
        outgoing.advance(1000);
        assert!(outgoing.message_ends.capacity() <= 2 * ENDS_KEPT);
    }
}
