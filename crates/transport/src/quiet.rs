//! A future beside others in one task that is polled only when it was woken itself.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Keeps `future` from being polled whenever one of its neighbours was woken.
pub(crate) struct Quiet<'a, F> {
    future: Pin<&'a mut F>,
    woken: Arc<Woken>,
    /// Of `woken`.
    waker: Waker,
}

struct Woken {
    woken: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

/// Returns what `future` returns.
pub(crate) fn quiet<F: Future>(future: Pin<&mut F>) -> Quiet<'_, F> {
    let woken = Arc::new(Woken { woken: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) });
    Quiet { future, waker: Waker::from(Arc::clone(&woken)), woken }
}

impl<F: Future> Future for Quiet<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.woken.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(context.waker());
        // A wake-up from here on makes the task poll once more.
        if !this.woken.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        this.future.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::ready;

    use super::*;
    use tokio::sync::Notify;

    /// Counts how often `future` is polled.
    async fn counted(polls: &AtomicUsize, future: impl Future<Output = ()>) {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            polls.fetch_add(1, Ordering::Relaxed);
            ready!(future.as_mut().poll(context));
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn only_a_wake_up_of_its_own_polls_it() {
        let (polls, own, neighbour) = (AtomicUsize::new(0), Notify::new(), Notify::new());
        let told = std::cell::Cell::new(0);
        let waits = async {
            let mut quieted = pin!(counted(&polls, own.notified()));
            let listens = async {
                loop {
                    neighbour.notified().await;
                    told.set(told.get() + 1);
                }
            };
            tokio::select! {
                biased;
                () = listens => {}
                () = quiet(quieted.as_mut()) => {}
            }
        };
        let wakes = async {
            for _ in 0..10 {
                neighbour.notify_one();
                tokio::task::yield_now().await;
            }
            assert_eq!(polls.load(Ordering::Relaxed), 1, "the first poll, and none for the neighbour's sake");
            own.notify_one();
        };
        tokio::join!(waits, wakes);
        assert_eq!((polls.load(Ordering::Relaxed), told.get()), (2, 10));
    }

    #[tokio::test]
    async fn a_wake_up_from_another_thread_is_not_missed() {
        for _ in 0..1_000 {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            let thread = std::thread::spawn(move || sender.send(7).unwrap());
            assert_eq!(quiet(pin!(receiver)).await, Ok(7));
            thread.join().unwrap();
        }
    }
}
