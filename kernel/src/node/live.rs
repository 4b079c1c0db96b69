//! The settings as they are now, and word of their changes.
//!
//! Knows that the command line overrides the file. Must not know what obeys.

use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Ref, RefCell};
use event_listener::Event;
use storage::settings::{FILE, Settings};

/// What all tasks share.
pub(super) struct Live {
    settings: RefCell<Settings>,
    /// What holds where the file and the command line are silent.
    base: Settings,
    command_line: String,
    changed: Event,
}

impl Live {
    pub(super) fn new(settings: Settings, base: Settings, command_line: &str) -> Rc<Live> {
        let (settings, command_line) = (RefCell::new(settings), command_line.into());
        Rc::new(Live { settings, base, command_line, changed: Event::new() })
    }

    /// As they are. Not to be held while waiting.
    pub(super) fn get(&self) -> Ref<'_, Settings> {
        self.settings.borrow()
    }

    /// Returns at the next change. What is looked at before the first poll of it may be old: get it, then look.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + use<> {
        self.changed.listen()
    }

    /// The file has this text now, which was checked.
    pub(super) fn set(&self, text: &[u8]) {
        let mut settings = self.base.clone();
        // Both were refused or complained about before.
        let _ = settings.apply_file(FILE, text);
        let _ = settings.apply_command_line(&self.command_line);
        super::obey(&settings);
        *self.settings.borrow_mut() = settings;
        self.changed.notify(usize::MAX);
    }
}
