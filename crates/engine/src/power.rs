//! Whether this machine runs on its battery, as the kernel says (sysfs-class-power in Linux's documentation).

use std::path::Path;

/// Whether it does. An unknown source counts as mains power.
pub(crate) fn on_battery() -> bool {
    discharges(Path::new("/sys/class/power_supply"))
}

fn discharges(supplies: &Path) -> bool {
    let read = |path: std::path::PathBuf| {
        std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let (mut mains, mut discharging) = (false, false);
    for supply in std::fs::read_dir(supplies).into_iter().flatten().flatten() {
        let path = supply.path();
        match read(path.join("type")).as_str() {
            "Mains" | "USB" => mains |= read(path.join("online")) == "1",
            // A mouse has a battery too, and says that it is its own (`scope`).
            "Battery" if read(path.join("scope")) != "Device" => {
                discharging |= read(path.join("status")) == "Discharging";
            }
            _ => {}
        }
    }
    discharging && !mains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_laptop_is_on_battery_when_its_battery_is_used_and_no_charger_is_connected() {
        let folder = tempfile::tempdir().unwrap();
        let put = |supply: &str, file: &str, text: &str| {
            let path = folder.path().join(supply);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(file), format!("{text}\n")).unwrap();
        };
        assert!(!discharges(folder.path()), "a desktop");
        put("BAT0", "type", "Battery");
        put("BAT0", "status", "Discharging");
        put("AC", "type", "Mains");
        put("AC", "online", "0");
        assert!(discharges(folder.path()));
        put("AC", "online", "1");
        assert!(!discharges(folder.path()), "a weak charger");
        put("AC", "online", "0");
        put("BAT0", "status", "Full");
        assert!(!discharges(folder.path()));
        put("hid-mouse", "type", "Battery");
        put("hid-mouse", "scope", "Device");
        put("hid-mouse", "status", "Discharging");
        assert!(!discharges(folder.path()), "a mouse");
    }
}
