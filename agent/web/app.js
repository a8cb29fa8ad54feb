// The dashboard: one connection to the agent, and the panels that it feeds.
import { showBanner, showLink } from "./banner.js";
import { showDelivery } from "./delivery.js";
import { Drop } from "./drop.js";
import { byId, setText } from "./element.js";
import { Connection } from "./events.js";
import { History } from "./history.js";
import { showHost } from "./host.js";
import { Live } from "./live.js";
import { showModels, showRelease } from "./models.js";
import { zone } from "./numbers.js";
import { Predictions } from "./predictions.js";
import { startTheme } from "./theme.js";

const live = new Live(), history = new History(), predictions = new Predictions(), drop = new Drop();

// showState takes a whole state; a list that the agent left out is empty.
function showState(state) {
  for (const list of ["cameras", "models", "not_ready"]) state[list] ??= [];
  showBanner(state);
  live.update(state.cameras);
  history.update(state);
  showDelivery(state);
  showHost(state.host);
  showModels(state.models);
  showRelease(state.update);
  predictions.cameras(state.cameras.map(c => c.name));
  drop.models(state.models);
}

function showPrediction(prediction) {
  history.prediction(prediction);
  predictions.add(prediction);
}

const events = { state: showState, prediction: showPrediction, release: showRelease, lost: () => predictions.missed() };

const connection = new Connection({
  event: (type, data) => events[type]?.(data),
  link(word, about) {
    showLink(word, about);
    live.online(word === "live");
    if (word === "live") predictions.sync();
  },
});

startTheme();
live.onselect = camera => history.follow(camera);
byId("retry").onclick = () => connection.retry();
setText(byId("zone-name"), `Times are in ${zone}`);
connection.run();
