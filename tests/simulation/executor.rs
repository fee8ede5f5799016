//! Runs the tasks of all processes on one thread, in virtual time. Which of those that can
//! go on does so next is chance's choice.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// A worker process, or [`WORLD`].
pub type Process = usize;

/// Where everything runs that no crash of a worker ends.
pub const WORLD: Process = 0;

type Future = Pin<Box<dyn std::future::Future<Output = ()>>>;

#[derive(Default)]
pub struct Executor {
    now: Cell<Duration>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    next_id: Cell<u64>,
    woken: Arc<Mutex<BTreeSet<u64>>>,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    stopped: RefCell<BTreeSet<Process>>,
}

struct Task {
    process: Process,
    /// None while it is polled.
    future: Option<Future>,
}

struct Alarm {
    task: u64,
    woken: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().insert(self.task);
    }
}

impl Executor {
    /// Since the beginning.
    pub fn now(&self) -> Duration {
        self.now.get()
    }

    pub fn spawn(&self, process: Process, future: impl std::future::Future<Output = ()> + 'static) {
        let id = self.next();
        let future: Option<Future> = Some(Box::pin(future));
        self.tasks.borrow_mut().insert(id, Task { process, future });
        self.woken.lock().unwrap().insert(id);
    }

    /// kill -9: the process's tasks end where they stand.
    pub fn kill(&self, process: Process) {
        let dead: Vec<Task> = self
            .tasks
            .borrow_mut()
            .extract_if(.., |_, task| task.process == process)
            .map(|(_, task)| task)
            .collect();
        self.stopped.borrow_mut().remove(&process);
        drop(dead);
    }

    /// SIGSTOP: its tasks stand still, and its time goes on.
    pub fn stop(&self, process: Process) {
        self.stopped.borrow_mut().insert(process);
    }

    /// SIGCONT.
    pub fn go_on(&self, process: Process) {
        self.stopped.borrow_mut().remove(&process);
    }

    pub fn sleep_until(self: &Rc<Self>, at: Duration) -> Sleep {
        Sleep {
            executor: Rc::clone(self),
            at,
            timer: None,
        }
    }

    pub fn sleep(self: &Rc<Self>, span: Duration) -> Sleep {
        self.sleep_until(self.now() + span)
    }

    /// One task goes on, or time does. False: nothing is left to happen. `choose` picks one
    /// of so many.
    pub fn step(&self, choose: impl FnOnce(usize) -> usize) -> bool {
        let ready = self.ready();
        if ready.is_empty() {
            return self.pass_time();
        }
        let id = ready[choose(ready.len())];
        self.woken.lock().unwrap().remove(&id);
        let taken = self
            .tasks
            .borrow_mut()
            .get_mut(&id)
            .and_then(|task| task.future.take());
        let Some(mut future) = taken else {
            return true;
        };
        let waker = Waker::from(Arc::new(Alarm {
            task: id,
            woken: Arc::clone(&self.woken),
        }));
        let ended = future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        let mut tasks = self.tasks.borrow_mut();
        if ended {
            tasks.remove(&id);
        } else if let Some(task) = tasks.get_mut(&id) {
            task.future = Some(future);
        } else {
            // It killed its own process.
            drop(tasks);
            drop(future);
        }
        true
    }

    fn ready(&self) -> Vec<u64> {
        let tasks = self.tasks.borrow();
        let stopped = self.stopped.borrow();
        let mut woken = self.woken.lock().unwrap();
        woken.retain(|id| tasks.contains_key(id));
        let can_run = |id: &&u64| !stopped.contains(&tasks[id].process);
        woken.iter().filter(can_run).copied().collect()
    }

    fn pass_time(&self) -> bool {
        let first = self.timers.borrow_mut().pop_first();
        let Some(((at, _), waker)) = first else {
            return false;
        };
        self.now.set(at.max(self.now.get()));
        waker.wake();
        true
    }

    fn next(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }
}

pub struct Sleep {
    executor: Rc<Executor>,
    at: Duration,
    timer: Option<u64>,
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.executor.timers.borrow_mut().remove(&(self.at, timer));
        }
    }
}

impl std::future::Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.at {
            return Poll::Ready(());
        }
        if self.timer.is_none() {
            let timer = self.executor.next();
            self.timer = Some(timer);
            let waker = context.waker().clone();
            let mut timers = self.executor.timers.borrow_mut();
            timers.insert((self.at, timer), waker);
        }
        Poll::Pending
    }
}
