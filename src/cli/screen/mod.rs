//! The whole terminal as a live table: what `fleetbeat watch` is on a terminal. Here the loop; `scene` is what is known, `draw` shows it.

mod draw;
mod filter;
mod keys;
mod row;
mod scene;

use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::Event as Input;
use tokio::time::{MissedTickBehavior, interval};

use super::client::Client;
use super::clusters::{Filter, select};
use super::error::CliError;
use super::follow::{Follower, News};
use super::line::Event;
use super::look;
use super::paint::Paint;
use fleetbeat_actors::event::EventType;
use scene::{After, Scene};

/// The table is drawn anew this often at most, and ages move on.
const FRAME: Duration = Duration::from_millis(250);
/// Everything is read again this often: latencies and ages move without an event.
const REFRESH: Duration = Duration::from_secs(5);
/// Fleets larger than this are read again less often.
const LARGE: usize = 2_000;
const REFRESH_LARGE: Duration = Duration::from_secs(30);

/// Shows the clusters that a filter lets through until the user has seen enough.
///
/// # Errors
/// Those of the client, and of the terminal.
pub async fn run(client: &Client, filter: &Filter, paint: Paint) -> Result<(), CliError> {
    let mut follower = Follower::open(client, &[], None).await?;
    let mut scene = Scene::new(client.base(), paint.is_on());
    read_all(client, filter, &mut scene).await?;
    let mut terminal = ratatui::try_init()?;
    let shown = show(client, filter, &mut scene, &mut follower, &mut terminal).await;
    ratatui::restore();
    shown
}

async fn show(
    client: &Client,
    filter: &Filter,
    scene: &mut Scene,
    follower: &mut Follower<'_>,
    terminal: &mut DefaultTerminal,
) -> Result<(), CliError> {
    let mut inputs = keys::listen();
    let mut frames = interval(FRAME);
    let every = if scene.len() > LARGE { REFRESH_LARGE } else { REFRESH };
    let mut refresh = interval(every);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    refresh.reset();
    loop {
        tokio::select! {
            _ = frames.tick() => paint(terminal, scene)?,
            input = inputs.recv() => match input {
                Some(Input::Key(key)) if scene.press(key) == After::Leave => return Ok(()),
                Some(_) => paint(terminal, scene)?,
                None => return Ok(()),
            },
            news = follower.next() => match news? {
                News::Event(event) => hear(client, filter, scene, &event).await?,
                News::Lost(why) => scene.lose(&why),
                News::Back => {
                    scene.find_again();
                    read_all(client, filter, scene).await?;
                }
            },
            _ = refresh.tick(), if scene.is_live() => match read_all(client, filter, scene).await {
                // The follower tells of it, and brings the server back.
                Err(CliError::Unreachable(_)) | Ok(()) => {}
                Err(other) => return Err(other),
            },
        }
    }
}

fn paint(terminal: &mut DefaultTerminal, scene: &mut Scene) -> Result<(), CliError> {
    terminal.draw(|frame| draw::draw(frame, scene))?;
    Ok(())
}

async fn read_all(client: &Client, filter: &Filter, scene: &mut Scene) -> Result<(), CliError> {
    let found = select(client, filter, None).await?;
    scene.replace(&found.clusters, found.now);
    Ok(())
}

/// An event either says all there is to show, or that one cluster has to be read again.
async fn hear(client: &Client, filter: &Filter, scene: &mut Scene, event: &Event) -> Result<(), CliError> {
    match event.event_type {
        Some(EventType::ClusterRegistered | EventType::ClusterUpdated) => {
            let one = Filter { name: Some(event.name()), ..filter.clone() };
            let found = select(client, &one, None).await?.clusters;
            let found = found.iter().find(|cluster| look::text(cluster, "/id") == event.cluster_id);
            scene.put_or_remove(&event.cluster_id, found);
        }
        Some(EventType::ClusterDeleted) => scene.put_or_remove(&event.cluster_id, None),
        Some(EventType::MonitorDegraded) => scene.doubt(true),
        Some(EventType::MonitorRecovered) => scene.doubt(false),
        _ => scene.change(event),
    }
    Ok(())
}
