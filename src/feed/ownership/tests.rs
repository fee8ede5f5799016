use super::*;

const LEASE: Duration = Duration::from_secs(10);

fn fleet(live_workers: usize, takeable: &[i16]) -> FleetView {
    FleetView {
        live_workers,
        shards: 4,
        takeable: takeable.iter().copied().map(Shard).collect(),
    }
}

fn holding(shards: &[i16], asked: Instant) -> Ownership {
    let mut ownership = Ownership::new(LEASE);
    for shard in shards {
        ownership.taken(Shard(*shard), Epoch(1), asked);
    }
    ownership
}

#[test]
fn a_lone_worker_takes_everything_and_a_second_one_its_half() {
    let now = Instant::now();
    let alone = holding(&[], now).balance(&fleet(1, &[0, 1, 2, 3]));
    assert_eq!(alone.take.len(), 4);
    let second = holding(&[], now).balance(&fleet(2, &[2, 3]));
    assert_eq!(second.take, [Shard(2), Shard(3)]);
    let full = holding(&[0, 1], now).balance(&fleet(2, &[2, 3]));
    assert_eq!(full, Balance::default());
}

#[test]
fn surplus_is_left_once_when_another_worker_comes() {
    let now = Instant::now();
    let mut ownership = holding(&[0, 1, 2, 3], now);
    let balance = ownership.balance(&fleet(2, &[]));
    assert_eq!(balance.leave, [Shard(2), Shard(3)]);
    ownership.leave(&balance.leave);
    assert_eq!(ownership.balance(&fleet(2, &[])), Balance::default());
}

#[test]
fn a_lease_ends_here_before_it_ends_in_the_database() {
    let asked = Instant::now();
    let mut ownership = holding(&[0], asked);
    assert_eq!(ownership.expire(asked + LEASE * 8 / 10), []);
    assert_eq!(ownership.expire(asked + LEASE * 9 / 10), [Shard(0)]);
    assert!(ownership.is_empty());
}

#[test]
fn a_renewal_counts_from_before_it_was_asked_for() {
    let start = Instant::now();
    let mut ownership = holding(&[0, 1], start);
    let asked = start + Duration::from_secs(3);
    let named = ownership.held();
    assert_eq!(ownership.renewed(&named, &[Shard(0)], asked), [Shard(1)]);
    assert_eq!(ownership.next_expiry(), Some(asked + LEASE * 9 / 10));
}

#[test]
fn answers_may_overtake_one_another() {
    let start = Instant::now();
    let mut ownership = holding(&[0], start);
    let named = ownership.held();
    let [first, second] = [3, 6].map(|seconds| start + Duration::from_secs(seconds));
    assert_eq!(ownership.renewed(&named, &[Shard(0)], second), []);
    assert_eq!(ownership.renewed(&named, &[Shard(0)], first), []);
    assert_eq!(ownership.next_expiry(), Some(second + LEASE * 9 / 10));
}

#[test]
fn as_many_renewals_are_in_the_air_as_are_sent_while_one_is_waited_for() {
    let ownership = Ownership::new(LEASE);
    let most = ownership.renew_every() * RENEWALS_AT_ONCE;
    assert!(most >= ownership.lasts());
    assert!(most < ownership.lasts() + ownership.renew_every());
}

#[test]
fn an_answer_from_before_a_shard_was_taken_does_not_lose_it() {
    let start = Instant::now();
    let mut ownership = holding(&[0], start);
    let named = ownership.held();
    let asked = start + Duration::from_secs(1);
    // The answer to the take-over came first, or that to a loss.
    ownership.taken(Shard(1), Epoch(5), start);
    assert_eq!(ownership.renewed(&named, &[Shard(0)], asked), []);
    assert_eq!(ownership.held().len(), 2);
    ownership.forget(Shard(0));
    ownership.taken(Shard(0), Epoch(9), start);
    assert_eq!(ownership.renewed(&named, &[], asked), []);
    assert!(ownership.held().contains(&(Shard(0), Epoch(9))));
}

#[test]
fn what_was_drained_before_a_shard_was_lost_and_taken_again_is_not_released() {
    let mut ownership = holding(&[0, 1], Instant::now());
    let leaving = ownership.leave(&[Shard(0), Shard(1)]);
    ownership.forget(Shard(0));
    ownership.taken(Shard(0), Epoch(7), Instant::now());
    let drained = leaving.into_iter().map(|(shard, epoch)| Drained {
        shard,
        epoch,
        checkpoint: None,
    });
    let release = ownership.to_release(drained.collect()).shards;
    assert_eq!(release.len(), 1);
    assert_eq!(release[0].0, Shard(1));
}
