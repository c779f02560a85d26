//! When is a source asked next?

use jiff::{SignedDuration, Timestamp};

/// The first pause after a failure; each further failure doubles it.
const BACK_OFF: SignedDuration = SignedDuration::from_secs(1);
pub(super) const LONGEST_BACK_OFF: SignedDuration = SignedDuration::from_secs(60);

/// What the worker that asks a source has asked, and when it asks next.
#[derive(Clone, Debug)]
pub(super) struct Poll {
    pub(super) next: Timestamp,
    pub(super) failures: u32,
    pub(super) pending: Option<Pending>,
    /// [`Feed::beginning`](crate::sources::feeds::Feed::beginning) when it was first asked.
    pub(super) beginning: u64,
}

/// A question that has been asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) token: u32,
    /// The plugin that asked; the answer dies with it.
    pub(super) context: u32,
    /// Whether a stream was opened, which is to be ended.
    pub(super) is_stream: bool,
    pub(super) heard: Heard,
}

/// A stream that is not wanted any more. It is ended on the next tick and in the context that opened it: a proxy that
/// ends one within a message of it goes on with what it has just freed, and from another context it does not find it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AbandonedStream {
    pub(super) token: u32,
    pub(super) context: u32,
}

/// What has been heard since a question was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard {
    /// Nothing yet; overdue after this.
    Nothing(Timestamp),
    /// What is held is what the open stream said last.
    Current,
}

impl Poll {
    /// A source that is asked at once.
    pub(super) fn due(now: Timestamp, beginning: u64) -> Self {
        Self {
            next: now,
            failures: 0,
            pending: None,
            beginning,
        }
    }

    /// Whether a question with this token waits for its answer.
    pub(super) fn has_asked(&self, token: u32) -> bool {
        self.pending.is_some_and(|pending| pending.token == token)
    }

    /// Forgets what was asked. Gives the stream that is left.
    pub(super) fn give_up(&mut self) -> Option<AbandonedStream> {
        let pending = self.pending.take().filter(|pending| pending.is_stream)?;
        Some(AbandonedStream {
            token: pending.token,
            context: pending.context,
        })
    }
}

pub(super) fn back_off(failures: u32) -> SignedDuration {
    let doubled = 2i32
        .checked_pow(failures.saturating_sub(1))
        .and_then(|times| BACK_OFF.checked_mul(times));
    doubled.unwrap_or(LONGEST_BACK_OFF).min(LONGEST_BACK_OFF)
}

/// Up to a tenth less, so that many proxies that were started at once do not ask at once for ever. Whole seconds, as
/// the tick has them.
pub(super) fn jittered(pause: SignedDuration, random: u64) -> SignedDuration {
    let spread = u64::try_from(pause.as_secs()).unwrap_or_default() / 10;
    let less = random.checked_rem(spread.saturating_add(1)).unwrap_or_default();
    let less = SignedDuration::from_secs(i64::try_from(less).unwrap_or_default());
    pause.checked_sub(less).unwrap_or(pause)
}

pub(super) fn later(now: Timestamp, pause: SignedDuration) -> Timestamp {
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_BACK_OFF, SignedDuration, back_off, jittered};

    #[test]
    fn back_off_doubles_up_to_its_bound() {
        let seconds: Vec<i64> = (1..=8).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off(u32::MAX), LONGEST_BACK_OFF);
    }

    #[test]
    fn jitter_takes_at_most_a_tenth() {
        for random in 0..1000 {
            let pause = jittered(SignedDuration::from_secs(300), random).as_secs();
            assert!((270..=300).contains(&pause), "{pause}");
            assert_eq!(jittered(SignedDuration::from_secs(1), random).as_secs(), 1);
        }
    }
}
