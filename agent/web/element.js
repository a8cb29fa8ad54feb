// Nodes of the page. Text from outside reaches it by textContent alone.

export const byId = id => document.getElementById(id);

export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// The setters touch the page only where something changed: most of a device's
// state is the same as a second ago.
export function setText(node, value) {
  const text = String(value ?? "");
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, visible) {
  if (node.hidden === visible) node.hidden = !visible;
}

export function setAttr(node, name, value) {
  if (value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function setPill(node, tone, text, title) {
  setText(node, text);
  setAttr(node, "data-tone", tone);
  setAttr(node, "title", title || null);
}

// An error line is there when it has something to say.
export function setError(node, text) {
  setText(node, text);
  show(node, Boolean(text));
}

// fill makes parent's children as many as items, reusing those that are there.
export function fill(parent, items, create, update) {
  while (parent.children.length > items.length) parent.lastElementChild.remove();
  items.forEach((item, i) => {
    const node = parent.children[i] ?? parent.appendChild(create());
    update(node, item, i);
  });
}

// bars shows results best first, each as long as its score.
export function bars(list, results) {
  fill(list, results,
    () => make("li", "", make("i"), make("span"), make("span")),
    (node, result) => {
      const [bar, label, score] = node.children;
      bar.style.width = `${Math.min(1, Math.max(0, result.score)) * 100}%`;
      setText(label, result.label);
      setText(score, result.text);
    });
}

// options fills a select and keeps what was chosen where it is still there.
export function options(select, list) {
  select.disabled = !list.length;
  if (!list.length) list = [["", "none"]];
  const want = JSON.stringify(list);
  if (select.dataset.list === want) return;
  const chosen = select.value;
  select.dataset.list = want;
  select.replaceChildren(...list.map(([value, text]) => new Option(text, value)));
  if (list.some(([value]) => value === chosen)) select.value = chosen;
}
