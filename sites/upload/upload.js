// Sends a file by PUT and lists what was sent, with a button that deletes it.
// Names come from outside: they are put into URLs encoded, and into the page as
// text.
"use strict";

const form = document.getElementById("form");
const state = document.getElementById("state");
const sent = document.getElementById("sent");

function authorization() {
  const bytes = new TextEncoder().encode(`${form.user.value}:${form.password.value}`);
  return { Authorization: "Basic " + btoa(String.fromCharCode(...bytes)) };
}

async function send(method, url, body) {
  try {
    const answer = await fetch(url, { method, body, headers: authorization() });
    state.textContent = `${method} ${decodeURIComponent(url)}: ${answer.status} ${answer.statusText}`;
    return answer.ok;
  } catch (error) {
    state.textContent = `${method} ${decodeURIComponent(url)}: ${error.message}`;
    return false;
  }
}

function list(url, name) {
  for (const item of sent.children) {
    if (item.dataset.url === url) return;
  }
  const item = document.createElement("li");
  item.dataset.url = url;
  const link = document.createElement("a");
  link.href = url;
  link.textContent = name;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `Delete ${name}`;
  button.addEventListener("click", async () => {
    if (await send("DELETE", url)) item.remove();
  });
  item.append(link, " ", button);
  sent.append(item);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = form.file.files[0];
  const url = "/files/" + encodeURIComponent(file.name);
  state.textContent = `Sending ${file.name} …`;
  if (await send("PUT", url, file)) list(url, file.name);
});
