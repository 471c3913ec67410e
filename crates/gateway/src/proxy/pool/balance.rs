//! Which place a request goes to.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use model::snapshot::Balance;

/// What a choice hangs on, besides the places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    /// A number drawn for the request.
    pub(crate) draw: u32,
    /// What a consistent choice hangs on; `None` when the request does not have it.
    pub(crate) hash: Option<u64>,
}

/// One of the candidates, as a choice sees it.
pub(super) trait Candidate {
    /// Requests in flight.
    fn in_flight(&self) -> u32;
    /// Its share, at least 1.
    fn weight(&self) -> u32;
    /// Where it is.
    fn address(&self) -> SocketAddr;
}

/// Draws of one request.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // SplitMix64: numbers that look drawn, from one that was.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Draws until something that may be taken is found, then looks at every one in turn.
const DRAWS: u32 = 4;

/// The number of the one that `balance` picks among those that `may` be taken; `None` when none may.
/// `turn` is a number that grows with each request.
pub(super) fn choose<C: Candidate>(
    candidates: &[C],
    balance: &Balance,
    choice: Choice,
    turn: usize,
    may: impl Fn(&C) -> bool,
) -> Option<usize> {
    let mut dice = Dice(u64::from(choice.draw) << 32 | turn as u64);
    match (balance, choice.hash) {
        (Balance::Consistent(_), Some(hash)) => consistent(candidates, hash, may),
        (Balance::RoundRobin, _) => in_turn(candidates, turn, may),
        (Balance::LeastRequest, _) => {
            let one = draw(candidates, &mut dice, &may)?;
            let other = draw(candidates, &mut dice, &may)?;
            let fewer = candidates[other].in_flight() < candidates[one].in_flight();
            Some(if fewer { other } else { one })
        }
        (Balance::Random | Balance::Consistent(_), _) => draw(candidates, &mut dice, &may),
    }
}

fn total<C: Candidate>(candidates: &[C]) -> u64 {
    candidates.iter().map(|one| u64::from(one.weight())).sum()
}

/// The candidate that a number below [`total`] falls on.
fn at<C: Candidate>(candidates: &[C], mut number: u64) -> usize {
    for (index, one) in candidates.iter().enumerate() {
        match number.checked_sub(u64::from(one.weight())) {
            Some(rest) => number = rest,
            None => return index,
        }
    }
    0
}

fn draw<C: Candidate>(
    candidates: &[C],
    dice: &mut Dice,
    may: &impl Fn(&C) -> bool,
) -> Option<usize> {
    let total = total(candidates).max(1);
    let mut found = 0;
    for _ in 0..DRAWS {
        found = at(candidates, dice.roll() % total);
        if candidates.get(found).is_some_and(may) {
            return Some(found);
        }
    }
    let count = candidates.len();
    (1..=count)
        .map(|step| (found + step) % count)
        .find(|index| may(&candidates[*index]))
}

fn in_turn<C: Candidate>(candidates: &[C], turn: usize, may: impl Fn(&C) -> bool) -> Option<usize> {
    let first = at(candidates, turn as u64 % total(candidates).max(1));
    let count = candidates.len();
    (0..count)
        .map(|step| (first + step) % count)
        .find(|index| may(&candidates[*index]))
}

/// Rendezvous hashing: each place scores the value, the best one has it. A place that comes or goes
/// moves no value between the others.
fn consistent<C: Candidate>(
    candidates: &[C],
    hash: u64,
    may: impl Fn(&C) -> bool,
) -> Option<usize> {
    let score = |one: &C| {
        let mut hasher = DefaultHasher::new();
        (hash, one.address()).hash(&mut hasher);
        // In (0, 1): 53 bits are what a double holds.
        let drawn = ((hasher.finish() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(one.weight()) / drawn.ln()
    };
    candidates
        .iter()
        .enumerate()
        .filter(|(_, one)| may(one))
        .max_by(|(_, a), (_, b)| score(a).total_cmp(&score(b)))
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use model::snapshot::HashKey;

    use super::*;

    #[derive(Clone, Copy)]
    struct Spot {
        port: u16,
        weight: u32,
        busy: u32,
    }

    impl Candidate for Spot {
        fn in_flight(&self) -> u32 {
            self.busy
        }

        fn weight(&self) -> u32 {
            self.weight
        }

        fn address(&self) -> SocketAddr {
            ([127, 0, 0, 1], self.port).into()
        }
    }

    fn spots(weights: &[u32]) -> Vec<Spot> {
        let weights = weights.iter().zip(1..);
        weights
            .map(|(weight, port)| Spot {
                port,
                weight: *weight,
                busy: 0,
            })
            .collect()
    }

    fn counts(spots: &[Spot], balance: &Balance, rounds: u32) -> Vec<u32> {
        let mut counts = vec![0; spots.len()];
        for draw in 0..rounds {
            let choice = Choice { draw, hash: None };
            counts[choose(spots, balance, choice, draw as usize, |_| true).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn shares_follow_the_weights() {
        let spots = spots(&[1, 3]);
        assert_eq!(counts(&spots, &Balance::RoundRobin, 400), [100, 300]);
        let drawn = counts(&spots, &Balance::Random, 4000);
        assert!((2850..3150).contains(&drawn[1]), "{drawn:?}");
    }

    #[test]
    fn of_two_drawn_the_one_with_fewer_requests_is_taken() {
        let mut spots = spots(&[1, 1]);
        spots[0].busy = 5;
        let drawn = counts(&spots, &Balance::LeastRequest, 4000);
        // Only when both draws fall on the busy one does it get the request.
        assert!((850..1150).contains(&drawn[0]), "{drawn:?}");
    }

    #[test]
    fn who_may_not_be_taken_is_not() {
        let spots = spots(&[1, 1, 1]);
        for balance in [
            Balance::LeastRequest,
            Balance::RoundRobin,
            Balance::Random,
            Balance::Consistent(HashKey::SourceIp),
        ] {
            for draw in 0..50 {
                let choice = Choice {
                    draw,
                    hash: Some(draw.into()),
                };
                let may = |spot: &Spot| spot.port == 2;
                assert_eq!(
                    choose(&spots, &balance, choice, draw as usize, may),
                    Some(1)
                );
                assert_eq!(
                    choose(&spots, &balance, choice, draw as usize, |_| false),
                    None
                );
            }
        }
    }

    #[test]
    fn the_same_value_keeps_its_place_when_another_place_goes() {
        let balance = Balance::Consistent(HashKey::SourceIp);
        let five = spots(&[1, 1, 1, 1, 1]);
        let mut used = [0; 5];
        for hash in 0..1000_u64 {
            let choice = Choice {
                draw: hash as u32,
                hash: Some(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            };
            let first = choose(&five, &balance, choice, 0, |_| true).unwrap();
            used[first] += 1;
            let again = Choice { draw: 7, ..choice };
            assert_eq!(choose(&five, &balance, again, 9, |_| true), Some(first));
            let without_last = choose(&five[..4], &balance, choice, 0, |_| true).unwrap();
            assert!(first == 4 || without_last == first);
        }
        assert!(used.iter().all(|count| *count > 120), "{used:?}");
    }
}
