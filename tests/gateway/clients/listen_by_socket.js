// A Socket.IO client: listen_by_socket.js '{"url", "auth", "query", "transports", "follow"}'. With
// "follow" it connects again after each break, and gives the cursor of what it saw last.
const { io } = require("socket.io-client");

const wanted = JSON.parse(process.argv[2]);
const say = (what) => console.log(JSON.stringify(what));

let after = wanted.auth && wanted.auth.after;
const socket = io(wanted.url + (wanted.query || ""), {
  transports: wanted.transports,
  reconnection: Boolean(wanted.follow),
  reconnectionDelay: 50,
  reconnectionDelayMax: 200,
  auth: wanted.auth ? (give) => give({ ...wanted.auth, after }) : undefined,
});
socket.on("connect", () => say({ connected: true }));
socket.on("connect_error", (error) => {
  if (wanted.follow) {
    // A refusal ends the tries; a database that is not there yet is worth another one.
    if (!socket.active) setTimeout(() => socket.connect(), 100);
    return;
  }
  say({ refused: error.message });
  process.exit();
});
socket.on("disconnect", (reason) => say({ disconnected: reason }));
socket.on("message", (...message) => {
  if (message.length > 1) after = message[1];
  say({ message });
});
