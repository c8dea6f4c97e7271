//! What this machine lives on, as the kernel says (sysfs-class-power in Linux's documentation): for where there is no UPower.

use std::path::Path;

use crate::Power;

/// What it lives on now.
pub(crate) fn power() -> Power {
    read(Path::new("/sys/class/power_supply"))
}

fn read(supplies: &Path) -> Power {
    let read = |path: std::path::PathBuf| {
        std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let (mut mains, mut discharging, mut any) = (false, false, false);
    let mut percent: Option<u8> = None;
    for supply in std::fs::read_dir(supplies).into_iter().flatten().flatten() {
        let path = supply.path();
        match read(path.join("type")).as_str() {
            "Mains" | "USB" => {
                any = true;
                mains |= read(path.join("online")) == "1";
            }
            // A mouse has a battery too, and says that it is its own (`scope`).
            "Battery" if read(path.join("scope")) != "Device" => {
                any = true;
                discharging |= read(path.join("status")) == "Discharging";
                // Of two, the fuller one: it is used last.
                percent = percent.max(read(path.join("capacity")).parse().ok());
            }
            _ => {}
        }
    }
    match (any, discharging && !mains) {
        (false, _) => Power::Unknown,
        (true, false) => Power::Mains,
        (true, true) => Power::Battery { percent },
    }
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
        assert_eq!(read(folder.path()), Power::Unknown, "a desktop");
        put("BAT0", "type", "Battery");
        put("BAT0", "status", "Discharging");
        put("AC", "type", "Mains");
        put("AC", "online", "0");
        assert_eq!(read(folder.path()), Power::Battery { percent: None });
        put("BAT0", "capacity", "41");
        assert_eq!(read(folder.path()), Power::Battery { percent: Some(41) });
        put("BAT1", "type", "Battery");
        put("BAT1", "status", "Unknown");
        put("BAT1", "capacity", "97");
        assert_eq!(read(folder.path()), Power::Battery { percent: Some(97) });
        put("AC", "online", "1");
        assert_eq!(read(folder.path()), Power::Mains, "a weak charger");
        put("AC", "online", "0");
        put("BAT0", "status", "Full");
        assert_eq!(read(folder.path()), Power::Mains);
        put("hid-mouse", "type", "Battery");
        put("hid-mouse", "scope", "Device");
        put("hid-mouse", "status", "Discharging");
        assert_eq!(read(folder.path()), Power::Mains, "a mouse");
    }
}
