// One photo at a time: chosen, dropped, pasted or taken; shown at once, and its breeds as soon as they are known.
"use strict";

const at = (id) => document.getElementById(id);
const readable = (breed) => breed.replace(/^n\d+-/, "").replaceAll("_", " ");
const percent = (share) => `${(share * 100).toFixed(1)} %`;
let latest = 0;
let stream = null;

function element(tag, text, name) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

async function answer(photo) {
  const mine = ++latest; // an earlier photo's answer that comes late is not shown
  const old = at("photo").src;
  at("photo").src = URL.createObjectURL(photo);
  if (old) URL.revokeObjectURL(old);
  at("photo").hidden = false;
  at("result").hidden = false;
  at("answer").replaceChildren(element("p", "Looking …"));
  const said = await ask(photo);
  if (mine !== latest) return;
  at("answer").replaceChildren(...said);
  at("answer").focus({ preventScroll: true });
  at("result").scrollIntoView({ block: "nearest" });
}

async function ask(photo) {
  try {
    const type = photo.type.startsWith("image/") ? photo.type : "application/octet-stream";
    const response = await fetch("predict?top_k=5", { method: "POST", body: photo, headers: { "Content-Type": type } });
    const said = await response.json();
    return response.ok ? breeds(said[0]) : problem(said.error.message, said.error.hint);
  } catch {
    return problem("The service does not answer", "Is it still running?");
  }
}

function breeds(said) {
  const list = element("ol", "");
  for (const { breed, probability } of said.top) {
    const item = element("li", "");
    const bar = element("meter", "");
    bar.value = probability;
    bar.setAttribute("aria-hidden", "true");
    item.append(element("span", readable(breed)), element("span", percent(probability), "share"), bar);
    list.append(item);
  }
  const shown = [element("h2", readable(said.breed)), element("p", `${percent(said.confidence)} sure`)];
  if (said.unsure) shown.push(element("p", "The model is unsure: this may be another breed, or no dog.", "unsure"));
  return [...shown, list];
}

function problem(message, hint) {
  at("photo").hidden = true;
  return [element("p", `${message}.${hint ? ` ${hint}.` : ""}`, "error")];
}

const image = (items) => [...items].find((item) => item.type.startsWith("image/")) ?? items[0];

at("file").addEventListener("change", () => {
  if (at("file").files.length) answer(at("file").files[0]);
  at("file").value = ""; // so that the same file can be chosen again
});

document.addEventListener("paste", (event) => {
  const photo = image(event.clipboardData.files);
  if (photo) answer(photo);
});

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && event.dataTransfer.files.length) answer(image(event.dataTransfer.files));
  });
}

// A camera is offered only where the browser may use one: https, or this machine.
at("camera").hidden = !navigator.mediaDevices?.getUserMedia;

function closeCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  at("live").hidden = true;
  at("form").hidden = false;
}

at("camera").addEventListener("click", async () => {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch {
    at("result").hidden = false;
    at("answer").replaceChildren(...problem("The camera cannot be used", "Allow it in the browser, or choose a photo"));
    return;
  }
  at("form").hidden = true;
  at("live").hidden = false;
  at("video").srcObject = stream;
  await at("video").play();
  at("shoot").focus();
});

at("shoot").addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  canvas.width = at("video").videoWidth;
  canvas.height = at("video").videoHeight;
  canvas.getContext("2d").drawImage(at("video"), 0, 0);
  closeCamera();
  canvas.toBlob((photo) => answer(photo), "image/jpeg", 0.92);
});

at("cancel").addEventListener("click", () => {
  closeCamera();
  at("camera").focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && stream) closeCamera();
});
