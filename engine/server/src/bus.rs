//! Mailboxes: how anything reaches a core from outside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use base::ShardId;
use base::limits::MAILBOX_MAX;
use crossbeam_queue::SegQueue;
use futures_util::task::AtomicWaker;

use crate::reload::Reloaded;

/// What comes to a core.
#[derive(Debug)]
pub(crate) enum Mail {
    Message(shard::Message),
    Store(store::Event),
    /// From a thread beside the cores.
    Input(shard::Input),
    /// Live by another configuration.
    Reload(Arc<Reloaded>),
    /// Stop taking work, finish what there is.
    Drain,
}

/// One core's inbox. Mail of one sender stays in order.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    queue: SegQueue<Mail>,
    /// At least the messages in the queue; what is about to be pushed counts already.
    messages: AtomicUsize,
    waker: AtomicWaker,
}

/// The mailboxes of all shards.
pub(crate) type Bus = Arc<[Mailbox]>;

/// A bus between so many shards.
pub(crate) fn bus(count: usize) -> Bus {
    (0..count).map(|_| Mailbox::default()).collect()
}

pub(crate) fn mailbox(bus: &Bus, shard: ShardId) -> &Mailbox {
    &bus[shard.index()]
}

impl Mailbox {
    /// Queues a message of another shard, or gives it back when the mailbox is full. Wake the
    /// receiver when everything for it is queued.
    #[expect(clippy::result_large_err, reason = "the message goes back where it came from")]
    pub(crate) fn send(&self, message: shard::Message) -> Result<(), shard::Message> {
        if self.messages.fetch_add(1, Ordering::Relaxed) >= MAILBOX_MAX {
            self.messages.fetch_sub(1, Ordering::Relaxed);
            return Err(message);
        }
        self.queue.push(Mail::Message(message));
        Ok(())
    }

    /// Queues an answer of the store, of which there are no more than were asked for, or a signal.
    pub(crate) fn send_always(&self, mail: Mail) {
        self.queue.push(mail);
        self.wake();
    }

    /// Messages of other shards that wait.
    pub(crate) fn depth(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }

    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Takes the next mail, or waits for one.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Mail> {
        if let Some(mail) = self.take() {
            return Poll::Ready(mail);
        }
        self.waker.register(cx.waker());
        // Mail that came before the waker was there has woken nobody.
        self.take().map_or(Poll::Pending, Poll::Ready)
    }

    pub(crate) fn take(&self) -> Option<Mail> {
        let mail = self.queue.pop()?;
        if matches!(mail, Mail::Message(_)) {
            self.messages.fetch_sub(1, Ordering::Relaxed);
        }
        Some(mail)
    }
}

#[cfg(test)]
mod tests {
    use base::SessionId;

    use super::*;

    #[test]
    fn a_full_mailbox_gives_the_message_back_and_takes_answers_still() {
        let mailbox = Mailbox::default();
        let message = || shard::Message::TicketsDrop { session: SessionId::from_bytes([0; 16]) };
        for _ in 0..MAILBOX_MAX {
            assert!(mailbox.send(message()).is_ok());
        }
        assert!(mailbox.send(message()).is_err());
        assert_eq!(mailbox.depth(), MAILBOX_MAX);
        mailbox.send_always(Mail::Drain);
        assert!(matches!(mailbox.take(), Some(Mail::Message(_))));
        assert!(mailbox.send(message()).is_ok());
        assert!(mailbox.send(message()).is_err());
    }
}
