// The key that the server asks for, if it does. It is kept as long as the browser's tab, and goes nowhere but to the server.

const NAME = "x0-key";

/** The key, or `null` when none was asked for. */
export const key = () => sessionStorage.getItem(NAME);

/** Asks for a key, and says so if there was one before, which was wrong. Resolves when there is one. */
export function ask() {
  const dialog = document.querySelector("#key");
  const { secret } = dialog.querySelector("form").elements;
  const error = dialog.querySelector("[role=alert]");
  error.hidden = key() === null;
  error.textContent = "The server does not know this key.";
  secret.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(NAME, secret.value.trim());
      dialog.close();
      resolve();
    };
  });
}
