//! A number that changes with the age of a ticket.

use std::time::Duration;

use super::definition::WAIT_MAX;

/// Steps of one term.
pub(super) const STEPS_MAX: usize = 64;

/// Steps into which an even change is cut.
const EVEN_STEPS: u32 = 16;

/// Each value holds from its age on, until the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps(pub Vec<(Duration, f64)>);

/// In which direction a term asks for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Rising,
    Falling,
}

impl Steps {
    pub fn constant(value: f64) -> Steps {
        Steps(vec![(Duration::ZERO, value)])
    }

    /// From one value to another over this time, in sixteen equal steps.
    pub fn evenly(from: f64, to: f64, over: Duration) -> Steps {
        let step = |number: u32| {
            let value = from + (to - from) * f64::from(number) / f64::from(EVEN_STEPS);
            (over.saturating_mul(number) / EVEN_STEPS, value)
        };
        match over.is_zero() || from == to {
            true => Steps::constant(to),
            false => Steps((0..=EVEN_STEPS).map(step).collect()),
        }
    }

    /// The value at this age.
    pub fn at(&self, age: Duration) -> f64 {
        let begun = self.0.partition_point(|(from, _)| *from <= age);
        self.0[begun.saturating_sub(1)].1
    }

    pub(super) fn ages(&self) -> impl Iterator<Item = Duration> + '_ {
        self.0.iter().map(|(from, _)| *from)
    }

    pub(super) fn check(&self, least: f64, most: f64, step: Step) -> Result<(), String> {
        let Steps(steps) = self;
        if steps.is_empty() || steps.len() > STEPS_MAX {
            return Err(format!("1 to {STEPS_MAX} steps"));
        }
        if steps[0].0 != Duration::ZERO {
            return Err("the first step has to be at 0 seconds".into());
        }
        if steps.iter().any(|(age, _)| *age > WAIT_MAX) {
            return Err("no step later than a day".into());
        }
        if steps.iter().any(|(_, value)| !(least..=most).contains(value)) {
            return Err(format!("values from {least} to {most}"));
        }
        let is_good = |pair: &[(Duration, f64)]| {
            let is_less = match step {
                Step::Rising => pair[0].1 <= pair[1].1,
                Step::Falling => pair[0].1 >= pair[1].1,
            };
            pair[0].0 < pair[1].0 && is_less
        };
        if !steps.windows(2).all(is_good) {
            let never = if step == Step::Rising { "fall" } else { "rise" };
            return Err(format!("ages have to rise, and values never to {never}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_until_the_next_step() {
        let secs = Duration::from_secs;
        let steps = Steps::evenly(100.0, 500.0, secs(40));
        assert_eq!(steps.at(secs(0)), 100.0);
        assert_eq!(steps.at(Duration::from_millis(2499)), 100.0);
        assert_eq!(steps.at(Duration::from_millis(2500)), 125.0);
        assert_eq!(steps.at(secs(40)), 500.0);
        assert_eq!(steps.at(secs(4000)), 500.0);
        assert_eq!(steps.check(0.0, 1000.0, Step::Rising), Ok(()));
        assert!(steps.check(0.0, 1000.0, Step::Falling).is_err());
        assert!(steps.check(0.0, 400.0, Step::Rising).is_err());
        assert!(Steps(vec![]).check(0.0, 1.0, Step::Rising).is_err());
        assert!(Steps(vec![(secs(1), 0.0)]).check(0.0, 1.0, Step::Rising).is_err());
    }
}
