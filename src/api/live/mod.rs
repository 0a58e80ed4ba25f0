//! Live events: one broadcaster, and a list of who listens at which door (server-sent events, WebSocket).

mod broadcaster;
mod listeners;

pub use broadcaster::{Broadcaster, Frame, Recent};
pub use listeners::{Door, Listener, Listeners, Place, Watched};

use std::time::Duration;

/// What comes within this time after something was sent goes out together: a thousand listeners cost a thousand writes a pause
/// and not a thousand an event.
pub const PAUSE: Duration = Duration::from_millis(50);
/// How often it is looked whether a listener is still one.
pub const LOOK: Duration = Duration::from_secs(1);
