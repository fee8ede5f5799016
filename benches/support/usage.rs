//! What processes have used, as the kernel counts it (proc(5)).

use std::fs;

use anyhow::Context;

/// A tick of `/proc/*/stat` in milliseconds: `USER_HZ` is 100 on every Linux.
const TICK_MS: u64 = 10;

/// CPU time of a process in milliseconds.
pub fn cpu_ms(pid: u32) -> anyhow::Result<u64> {
    let stat = Stat::of(pid).with_context(|| format!("no process {pid}"))?;
    Ok(stat.own_ticks * TICK_MS)
}

/// CPU time in milliseconds of a process and all its children, those that ended included.
pub fn cpu_ms_with_children(pid: u32) -> anyhow::Result<u64> {
    loop {
        let parent = Stat::of(pid).with_context(|| format!("no process {pid}"))?;
        let mut ticks = parent.own_ticks + parent.ended_ticks;
        for entry in fs::read_dir("/proc")? {
            let child = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok());
            if let Some(child) = child.and_then(Stat::of)
                && child.parent == pid
            {
                ticks += child.own_ticks + child.ended_ticks;
            }
        }
        // A child that its parent waited for meanwhile may be with neither of the two.
        if Stat::of(pid).is_some_and(|now| now.ended_ticks == parent.ended_ticks) {
            return Ok(ticks * TICK_MS);
        }
    }
}

/// The most memory that a process ever had resident, in MB of 1,000,000 bytes.
pub fn peak_rss_mb(pid: u32) -> anyhow::Result<f64> {
    memory_mb(pid, "VmHWM:")
}

/// What it has resident now.
pub fn rss_mb(pid: u32) -> anyhow::Result<f64> {
    memory_mb(pid, "VmRSS:")
}

fn memory_mb(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    let kib = kib.with_context(|| format!("no {name} in the status of the process"))?;
    Ok((kib * 1024) as f64 / 1e6)
}

struct Stat {
    parent: u32,
    own_ticks: u64,
    /// Of children that have ended and were waited for.
    ended_ticks: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may hold blanks and brackets.
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: number(4)?.try_into().ok()?,
            own_ticks: number(14)? + number(15)?,
            ended_ticks: number(16)? + number(17)?,
        })
    }
}
