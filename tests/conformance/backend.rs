//! A database of one case's own, empty at first, that can be opened more than once.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use fleetbeat::{
    credentials::{KeySource, KeyedHasher},
    hub::{Hub, Limits, Source},
    secrets::KubeSecrets,
    store::{OpenError, Place, Store, StoreOptions, open},
};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::support::{KubeApiserver, Postgres};

/// A database of one case's own.
pub struct Backend {
    pub options: StoreOptions,
    /// Where credentials are kept, when not in the database.
    secrets: Option<(Hub, String)>,
    _directory: Option<tempfile::TempDir>,
}

impl Backend {
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(Place::File(directory.path().join("state/fleetbeat.db")));
        Self { options: patient(options), secrets: None, _directory: Some(directory) }
    }

    pub async fn postgresql() -> Self {
        let url = Postgres::shared().await.database().await;
        let options = StoreOptions::new(Place::Server(SecretString::from(url)));
        Self { options: patient(options), secrets: None, _directory: None }
    }

    /// SQLite, with the credentials in a namespace of a real kube-apiserver; `None` on a machine without one.
    pub async fn kubernetes() -> Option<Self> {
        static SERVER: tokio::sync::OnceCell<Option<KubeApiserver>> = tokio::sync::OnceCell::const_new();
        static NAMESPACES: AtomicUsize = AtomicUsize::new(0);
        let server = SERVER.get_or_init(KubeApiserver::start_if_present).await.as_ref()?;
        let namespace = format!("case-{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        let object = serde_json::json!({ "metadata": { "name": namespace } });
        server.command("POST", "/api/v1/namespaces", &object).await;
        let backend = Self::sqlite().await;
        let file = backend._directory.as_ref()?.path().join("kubeconfig");
        std::fs::write(&file, server.kubeconfig(server.token())).unwrap();
        let hub = Hub::open(Source::Kubeconfig(file), Limits::default()).await.unwrap();
        Some(Self { secrets: Some((hub, namespace)), ..backend })
    }

    /// The Secrets of this case, for the clusters of `store`.
    pub fn secrets(&self, store: &Arc<dyn Store>) -> Option<KubeSecrets> {
        let (hub, namespace) = self.secrets.as_ref()?;
        let key = KeySource::File(self._directory.as_ref()?.path().join("credentials.key"));
        Some(KubeSecrets::new(hub, namespace, Arc::clone(store), KeyedHasher::new(key)))
    }

    /// Opens it.
    pub async fn store(&self) -> Arc<dyn Store> {
        self.try_store().await.unwrap()
    }

    /// Opens it, or says why not.
    pub async fn try_store(&self) -> Result<Arc<dyn Store>, OpenError> {
        open(&self.options).await
    }

    /// The file of an embedded database.
    pub fn file(&self) -> Option<PathBuf> {
        match &self.options.place {
            Place::File(path) => Some(path.clone()),
            Place::Server(_) => None,
        }
    }

    /// Runs a statement behind the store's back.
    pub async fn execute(&self, sqlite: &'static str, postgresql: &'static str) {
        match &self.options.place {
            Place::File(path) => {
                let url = format!("sqlite://{}", path.display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(sqlite).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Place::Server(url) => {
                let mut connection = PgConnection::connect(url.expose_secret()).await.unwrap();
                sqlx::raw_sql(postgresql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }
}

/// With all the time that ten thousand rows take in an unoptimised build on a busy machine.
fn patient(options: StoreOptions) -> StoreOptions {
    let long = std::time::Duration::from_secs(60);
    StoreOptions { acquire_timeout: long, statement_timeout: long, call_timeout: long, ..options }
}
