//! What the rooms of a worker need of its configuration.

use uuid::Uuid;

use super::keeping::Identity;
use crate::config::{self, Config};
use crate::dispatch::{BreakerSettings, DispatchSettings, LaneSettings};
use crate::feed::keeper::KeeperSettings;
use crate::feed::reader::ReaderSettings;
use crate::maintenance;
use crate::record::RecorderSettings;

/// How many merchants without events stay in memory, some 2 kB for each subscription: what is known
/// need not be read for the next event.
const MERCHANTS: usize = 20_000;

pub(super) fn of_recorder(worker: &config::Worker) -> RecorderSettings {
    RecorderSettings {
        flush_after: worker.flush_after,
        flush_rows: worker.flush_rows,
    }
}

pub(super) fn of_reader(worker: &config::Worker) -> ReaderSettings {
    ReaderSettings {
        poll_min: worker.poll_min,
        poll_max: worker.poll_max,
        page_rows: worker.page_rows,
        merchants: MERCHANTS,
    }
}

pub(super) fn of_dispatcher(config: &Config) -> DispatchSettings {
    let lanes = &config.lanes;
    DispatchSettings {
        lane: LaneSettings {
            spill_after: lanes.spill_after,
            breaker: BreakerSettings {
                failures: lanes.breaker_failures,
                probe_min: lanes.probe_interval_min,
                probe_max: lanes.probe_interval_max,
            },
        },
        memory_deliveries: lanes.memory_deliveries,
        memory_bytes: lanes.memory_bytes,
        max_in_flight_total: lanes.max_in_flight_total,
        max_data_bytes: config.worker.max_data_bytes,
        grace: config.worker.grace,
    }
}

pub(super) fn of_keeper(worker: &config::Worker) -> KeeperSettings {
    KeeperSettings {
        lease: worker.lease,
        checkpoint_every: worker.checkpoint_every,
        grace: worker.grace,
    }
}

pub(super) fn identity(worker: &config::Worker, id: Uuid) -> Identity {
    let name = worker.name.clone().unwrap_or_else(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}/{}", host.trim(), std::process::id())
    });
    Identity {
        id,
        name,
        lease: worker.lease,
    }
}

pub(super) fn of_maintenance(settings: &config::Maintenance) -> maintenance::Settings {
    maintenance::Settings {
        schedule: settings.schedule.clone(),
        partitions_ahead_days: settings.partitions_ahead_days,
        retention_days: settings.retention_days,
        payload_days: settings.payload_days,
    }
}
