// Building the page's parts.

/** `element("a", {href: "x"}, "text", child)`: properties are set as they are, attributes with a dash or `role` as attributes. */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}
