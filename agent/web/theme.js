// The switch between the system's colours, dark and light.
import { byId, setAttr, setText } from "./element.js";

const key = "egret-theme", choices = ["system", "dark", "light"];

function stored() {
  try { return localStorage.getItem(key); } catch { return null; } // a browser may refuse storage
}

function use(choice) {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  setText(byId("theme"), `◐ ${choice}`);
  setAttr(byId("theme"), "aria-label", `Colours: ${choice}`);
  try { localStorage.setItem(key, choice); } catch { /* then it lasts as long as the page */ }
}

export function startTheme() {
  let at = Math.max(0, choices.indexOf(stored()));
  use(choices[at]);
  byId("theme").onclick = () => use(choices[at = (at + 1) % choices.length]);
}
