//! One database, one fleetbeat: a session of its own holds an advisory lock for as long as the store is open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::store::options::OpenError;

/// Advisory locks are kept per database, so any constant will do.
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(7308325466019131233)";
/// Pause between two questions whether the session lives, and between two tries to get the lock.
const LOOK: Duration = Duration::from_millis(500);
/// Longest that getting the lock may take.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);
/// A session that gives no answer for so long is given up. Until then a server that is slow or stopped keeps the lock for
/// us; one that is gone breaks the connection sooner.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long another process, which may be stopping, is waited for when the store is opened.
const OTHER_STOPS_WITHIN: Duration = Duration::from_secs(2);
/// How long a server that has answered before may take to answer this question, when the store is opened.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The right to be the only one that writes.
pub(super) struct Sole {
    held: Arc<AtomicBool>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Sole {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when another process holds it: worth another try, it may be stopping. [`OpenError::Unavailable`] when
    /// the server does not say.
    pub(super) async fn take(options: &PgConnectOptions) -> Result<Self, OpenError> {
        let began = Instant::now();
        loop {
            match session(options).await {
                Answer::Ours(session) => {
                    let held = Arc::new(AtomicBool::new(true));
                    let keeper = tokio::spawn(keep(options.clone(), *session, Arc::clone(&held)));
                    return Ok(Self { held, keeper: Mutex::new(Some(keeper)) });
                }
                Answer::Theirs if began.elapsed() > OTHER_STOPS_WITHIN => {
                    return Err(OpenError::InUse { database: "this database".to_owned() });
                }
                Answer::None if began.elapsed() > FIRST_ANSWER_WITHIN => {
                    return Err(OpenError::Unavailable("nobody says whether another process writes".to_owned()));
                }
                Answer::Theirs | Answer::None => sleep(LOOK / 5).await,
            }
        }
    }

    /// Is it held as far as we know? Not while its session is lost.
    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Gives it back.
    pub(super) async fn release(&self) {
        let keeper = self.keeper.lock().take();
        if let Some(keeper) = keeper {
            keeper.abort();
            let _ = keeper.await;
        }
    }
}

impl Drop for Sole {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().take() {
            keeper.abort();
        }
    }
}

/// Who holds the lock.
enum Answer {
    /// This session.
    Ours(Box<PgConnection>),
    /// Another one.
    Theirs,
    /// The server does not say.
    None,
}

async fn session(options: &PgConnectOptions) -> Answer {
    let taken = async {
        let mut session = PgConnection::connect_with(options).await?;
        let locked: bool = sqlx::query_scalar(TRY_LOCK).fetch_one(&mut session).await?;
        Ok::<_, sqlx::Error>(if locked { Answer::Ours(Box::new(session)) } else { Answer::Theirs })
    };
    match timeout(TAKEN_WITHIN, taken).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Answer::None,
    }
}

/// Holds the session; when it is lost, takes the lock again.
async fn keep(options: PgConnectOptions, mut held: PgConnection, flag: Arc<AtomicBool>) {
    loop {
        while matches!(timeout(ANSWER_WITHIN, held.ping()).await, Ok(Ok(()))) {
            sleep(LOOK).await;
        }
        flag.store(false, Ordering::Release);
        drop(held);
        held = loop {
            match session(&options).await {
                Answer::Ours(session) => break *session,
                Answer::Theirs | Answer::None => sleep(LOOK / 5).await,
            }
        };
        flag.store(true, Ordering::Release);
    }
}
