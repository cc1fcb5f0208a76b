// Shows what the server pushes, and opens it. Keeps nothing and answers no request: pages load as without it.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => {
  let told = {};
  try {
    told = event.data === null ? {} : event.data.json();
  } catch {
    // Not ours: something is said all the same, because the browser wants it.
  }
  const title = typeof told.title === "string" ? told.title : "Something waits for you";
  const options = {
    body: typeof told.body === "string" ? told.body : "",
    icon: "/favicon.svg",
    // A second notice about the same thing takes the place of the first.
    tag: typeof told.approvalId === "string" ? told.approvalId : "spool",
    data: { path: pathOf(told.url) },
  };
  event.waitUntil(self.registration.showNotification(title, options));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const path = event.notification.data?.path ?? INBOX;
  event.waitUntil(open(new URL(path, self.location.origin).href));
});

const INBOX = "/#/inbox";

// Only ever a page of this server, whatever a message says.
function pathOf(url) {
  if (typeof url !== "string") return INBOX;
  try {
    const { pathname } = new URL(url, self.location.origin);
    return /^\/t\/[^/]+$/.test(pathname) ? pathname : INBOX;
  } catch {
    return INBOX;
  }
}

// In a window that is there already, if there is one.
async function open(address) {
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = windows.find((client) => client.url === address) ?? windows[0];
  if (there === undefined) return self.clients.openWindow(address);
  const shown = await there.focus();
  return shown.url === address ? shown : shown.navigate(address).catch(() => self.clients.openWindow(address));
}
