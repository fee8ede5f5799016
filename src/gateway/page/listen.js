// Listens to one session of a Posthorn gateway: Posthorn.listen({token, onMessage}).
//
// By Server-Sent Events, and by polling where these do not come through. It goes on where it
// was after each break, and tells of each event once.
(function () {
  "use strict";

  var script = document.currentScript;
  var home = new URL(".", script.src).href;

  // Breaks in a row after which the stream is taken for blocked.
  var BREAKS = 3;
  var PAUSE_MS = 1000;
  var LONGEST_PAUSE_MS = 30000;

  // options: token, onMessage(data, event), and if wanted after, onEnd(), transport ("poll"),
  // base (where the gateway is; else where this script came from).
  // Returns {close()}.
  function listen(options) {
    var base = options.base ? new URL("v1/", options.base).href : home;
    var after = options.after || "start";
    var closed = false;
    var breaks = 0;
    var source = null;
    var timer = null;

    function tell(event) {
      options.onMessage(event.data, event);
    }

    function end() {
      if (closed) return;
      close();
      if (options.onEnd) options.onEnd();
    }

    function close() {
      closed = true;
      if (source) source.close();
      clearTimeout(timer);
    }

    function later(next) {
      var pause = Math.min(PAUSE_MS * Math.pow(2, breaks), LONGEST_PAUSE_MS);
      timer = setTimeout(next, pause * (0.5 + Math.random() / 2));
    }

    function stream() {
      if (closed) return;
      source = new EventSource(
        base + "session/events?token=" + encodeURIComponent(options.token) +
        "&after=" + encodeURIComponent(after));
      source.onopen = function () { breaks = 0; };
      source.onmessage = function (message) {
        after = message.lastEventId;
        tell(JSON.parse(message.data));
      };
      source.onerror = function () {
        // Its own way back has no bound and does not say why; one poll does.
        source.close();
        breaks += 1;
        if (!closed) later(breaks < BREAKS ? check : poll);
      };
    }

    // Whether the session is over is not for an EventSource to say.
    function check() { ask(0, stream); }

    function poll() { ask(30, poll); }

    function ask(wait, next) {
      if (closed) return;
      fetch(base + "session/events?wait=" + wait + "&after=" + encodeURIComponent(after), {
        headers: { Authorization: "Bearer " + options.token }
      }).then(function (response) {
        if (response.status === 401) return end();
        if (!response.ok) throw new Error("status " + response.status);
        return response.json().then(function (page) {
          if (closed) return;
          if (next === poll) breaks = 0;
          after = page.cursor;
          page.events.forEach(tell);
          next();
        });
      }).catch(function () {
        breaks += 1;
        if (!closed) later(next === poll ? poll : check);
      });
    }

    if (options.transport === "poll" || typeof EventSource === "undefined") poll();
    else stream();
    return { close: close };
  }

  window.Posthorn = { listen: listen };

  // Within the page that is embedded: the entity goes to the page around it, and to no other.
  var origin = script.dataset.origin;
  if (origin && window.parent !== window) {
    var given = new URLSearchParams(location.hash.slice(1));
    listen({
      token: given.get("token") || "",
      after: given.get("after") || undefined,
      transport: given.get("transport") || undefined,
      onMessage: function (data) { window.parent.postMessage(data, origin); }
    });
  }
})();
