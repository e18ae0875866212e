//! Whether this machine runs on its battery, as the system tells.

use std::path::{Path, PathBuf};

/// Where Linux lists its power supplies; elsewhere `starship-battery` asks the system.
const SUPPLIES: &str = "/sys/class/power_supply";

/// The environment variable that names another such folder, for tests.
#[cfg(feature = "testing")]
pub const VARIABLE: &str = "CARAT_TEST_POWER_SUPPLY";

/// Whether the machine runs on its battery now. Reads a few small files, or asks the system.
pub fn on_battery() -> bool {
    is_discharging(&supplies()) || battery_is_in_use()
}

/// Whether the system says that a battery is discharged; one that does not tell is taken to be plugged in.
#[cfg(not(target_os = "linux"))]
fn battery_is_in_use() -> bool {
    use starship_battery::{Manager, State};

    let batteries = Manager::new().and_then(|manager| manager.batteries());
    batteries.is_ok_and(|mut batteries| {
        batteries.any(|battery| battery.is_ok_and(|battery| battery.state() == State::Discharging))
    })
}

/// The folder has told.
#[cfg(target_os = "linux")]
fn battery_is_in_use() -> bool {
    false
}

fn supplies() -> PathBuf {
    #[cfg(feature = "testing")]
    if let Some(folder) = std::env::var_os(VARIABLE) {
        return folder.into();
    }
    PathBuf::from(SUPPLIES)
}

/// Whether a battery of the machine is discharged. Those of mice and keyboards do not count.
fn is_discharging(supplies: &Path) -> bool {
    let entries = std::fs::read_dir(supplies).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|supply| {
        let says = |file: &str, what: &str| {
            let text = std::fs::read_to_string(supply.join(file));
            text.is_ok_and(|text| text.trim() == what)
        };
        says("type", "Battery") && says("status", "Discharging") && !says("scope", "Device")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_battery_of_the_machine_that_is_discharged_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let supply = |name: &str, files: &[(&str, &str)]| {
            let supply = folder.path().join(name);
            std::fs::create_dir_all(&supply).expect("a folder");
            for (file, text) in files {
                std::fs::write(supply.join(file), text).expect("a file");
            }
            is_discharging(folder.path())
        };
        assert!(!is_discharging(&folder.path().join("none")));
        assert!(!supply("AC", &[("type", "Mains\n"), ("online", "0\n")]));
        let mouse = [
            ("type", "Battery\n"),
            ("status", "Discharging\n"),
            ("scope", "Device\n"),
        ];
        assert!(!supply("mouse", &mouse));
        assert!(!supply(
            "BAT0",
            &[("type", "Battery\n"), ("status", "Charging\n")]
        ));
        assert!(supply("BAT0", &[("status", "Discharging\n")]));
    }
}
