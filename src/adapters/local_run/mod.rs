//! What a process of this machine needs to take the place of a pod: its variables and files, its network, and a mark
//! that other cmdr runs read.

mod container;
mod enter;
mod mark;
mod process;
mod relay;

pub use container::{ContainerFacts, ContainerMount, Fetched, read_container, read_files};
pub use enter::{Bind, ProcessPlan, enter};
pub use mark::{HeldMark, LOCAL_RUNS, LocalRunMark, MarkError, abandoned, active, forget, take, taken_blocks};
pub use process::{ENTER, LocalCommand, PrivateFolder, exit_code, terminate, write_plan};
pub use relay::{PodRelay, RelayError, RelayedPod, connect};
