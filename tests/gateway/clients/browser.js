// Pages in a real browser: browser.js CHROMIUM. It says the origins of two servers, and takes
// {"show": html, "on": number of the origin, "without": "eventsource"?} as lines: the page's
// window messages, requests for events and errors are said as they come.
const http = require("http");
const readline = require("readline");
const { chromium } = require("playwright-core");

const say = (what) => console.log(JSON.stringify(what));
const pages = [];

// A server whose every page is what it was told to show last.
function origin(number) {
  return new Promise((resolve) => {
    const server = http.createServer((request, response) => {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      response.end(pages[number] || "");
    });
    server.listen(0, "127.0.0.1", () => resolve("http://127.0.0.1:" + server.address().port));
  });
}

async function main() {
  const origins = [await origin(0), await origin(1)];
  const browser = await chromium.launch({
    executablePath: process.argv[2],
    args: ["--disable-dev-shm-usage"],
  });
  say({ origins });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { show, on, without } = JSON.parse(line);
    pages[on] = show;
    const page = await (await browser.newContext()).newPage();
    const asked = (request) => /\/v1\/session\/events/.test(request.url());
    page.on("request", (request) => {
      if (asked(request)) say({ asks: request.resourceType() });
    });
    page.on("console", (message) => say({ console: message.text() }));
    page.on("pageerror", (error) => say({ failed: String(error) }));
    if (without) {
      await page.route(
        (url) => url.pathname === "/v1/session/events",
        (route) => (route.request().resourceType() === without ? route.abort() : route.continue()),
      );
    }
    await page.exposeFunction("tell", say);
    await page.addInitScript(() => {
      if (window.top === window) {
        addEventListener("message", (event) => window.tell({ message: event.data, from: event.origin }));
      }
    });
    await page.goto(origins[on]);
    say({ shown: await page.title() });
  }
  await browser.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
