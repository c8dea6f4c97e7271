//! The tray's other side: a StatusNotifierWatcher (freedesktop.org, "Status Notifier Item") such as a panel runs, and hands
//! on the menu it finds there (`com.canonical.dbusmenu`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zbus::{Connection, OwnedObjectPath, OwnedVariant, Variant, interface, message::Header};

/// Where an application's item is: its bus name and its object.
type Item = (String, String);

struct Watcher(Arc<Mutex<Vec<Item>>>);

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    async fn register_status_notifier_item(&self, service: String, #[zbus(header)] header: Header<'_>) {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        let item = if service.starts_with('/') {
            (sender, service)
        } else {
            (service, "/StatusNotifierItem".into())
        };
        self.0.lock().unwrap().push(item);
    }

    async fn register_status_notifier_host(&self, _service: String) {}

    #[zbus(property)]
    async fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    async fn protocol_version(&self) -> i32 {
        0
    }

    #[zbus(property)]
    async fn registered_status_notifier_items(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|(name, path)| format!("{name}{path}"))
            .collect()
    }
}

/// A panel that shows the tray.
pub(crate) struct Panel {
    bus: Connection,
    items: Arc<Mutex<Vec<Item>>>,
}

/// A line of the tray's menu, with the lines below it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: i32,
    pub(crate) label: String,
    pub(crate) enabled: bool,
    pub(crate) lines: Vec<Line>,
}

impl Line {
    /// Every line below this one, at any depth.
    pub(crate) fn all(&self) -> Vec<&Line> {
        self.lines
            .iter()
            .flat_map(|line| std::iter::once(line).chain(line.all()))
            .collect()
    }
}

impl Panel {
    /// Becomes the session's panel. To be called before the app starts.
    pub(crate) async fn start() -> Self {
        let items = Arc::new(Mutex::new(Vec::new()));
        let bus = zbus::connection::Builder::session()
            .name("org.kde.StatusNotifierWatcher")
            .serve_at("/StatusNotifierWatcher", Watcher(items.clone()))
            .build()
            .await
            .expect("the session has a bus and no other panel");
        Self { bus, items }
    }

    async fn item(&self) -> Item {
        super::eventually("the app shows a tray icon", Duration::from_secs(20), || async {
            self.items.lock().unwrap().last().cloned()
        })
        .await
    }

    async fn property(&self, name: &str) -> OwnedVariant {
        let (destination, path) = self.item().await;
        let proxy = zbus::Proxy::new(&self.bus, destination, path, "org.kde.StatusNotifierItem")
            .await
            .unwrap();
        proxy.get_property(name).await.unwrap()
    }

    /// The picture shown now: the content of the icon's file. Each change of the icon is a new file, and the old one goes.
    pub(crate) async fn icon(&self) -> Vec<u8> {
        super::eventually(
            "the tray icon's file is there",
            Duration::from_secs(5),
            || async {
                let name = String::try_from(self.property("IconName").await).ok()?;
                let folder = String::try_from(self.property("IconThemePath").await).unwrap_or_default();
                let path = std::path::PathBuf::from(folder).join(&name);
                std::fs::read(&path)
                    .or_else(|_| std::fs::read(path.with_extension("png")))
                    .ok()
            },
        )
        .await
    }

    /// The text beside the icon.
    pub(crate) async fn title(&self) -> String {
        String::try_from(self.property("Title").await).unwrap_or_default()
    }

    async fn menu_proxy(&self) -> zbus::Proxy<'static> {
        let (destination, _) = self.item().await;
        let path = OwnedObjectPath::try_from(self.property("Menu").await).unwrap();
        zbus::Proxy::new(&self.bus, destination, path, "com.canonical.dbusmenu")
            .await
            .unwrap()
    }

    /// The menu as it is now.
    pub(crate) async fn menu(&self) -> Line {
        let proxy = self.menu_proxy().await;
        type Layout = (u32, (i32, HashMap<String, OwnedVariant>, Vec<OwnedVariant>));
        let (_revision, (id, properties, children)): Layout = proxy
            .call("GetLayout", &(0i32, -1i32, Vec::<&str>::new()))
            .await
            .unwrap();
        line(id, &properties, &children)
    }

    /// Clicks on the line that says `label`, which may lie in a submenu. A line that went between the look and the click, as
    /// the menu changed, is looked for again.
    pub(crate) async fn click(&self, label: &str) {
        let what = format!("the tray's menu has {label:?}");
        super::eventually(&what, Duration::from_secs(20), || async {
            let menu = self.menu().await;
            let id = menu
                .all()
                .into_iter()
                .find(|line| line.label == label && line.enabled)?
                .id;
            let proxy = self.menu_proxy().await;
            proxy
                .call::<_, _, ()>("Event", &(id, "clicked", Variant::from(0i32), 0u32))
                .await
                .ok()
        })
        .await;
    }
}

/// Reads a line as `com.canonical.dbusmenu` sends it: `(ia{sv}av)`, below the top in a variant.
fn read_line(value: &OwnedVariant) -> Line {
    type Fields = (i32, HashMap<String, OwnedVariant>, Vec<OwnedVariant>);
    let (id, properties, children): Fields = value.try_clone().unwrap().try_into().expect("a line of a menu");
    line(id, &properties, &children)
}

fn line(id: i32, properties: &HashMap<String, OwnedVariant>, children: &[OwnedVariant]) -> Line {
    let text = |name: &str| match properties.get(name).map(|value| &**value) {
        Some(Variant::Str(text)) => text.to_string(),
        _ => String::new(),
    };
    Line {
        id,
        // An underscore marks the key of the line.
        label: text("label").replace('_', ""),
        enabled: !matches!(
            properties.get("enabled").map(|value| &**value),
            Some(Variant::Bool(false))
        ),
        lines: children.iter().map(read_line).collect(),
    }
}
