/** The page: its parts, and who is told what. */
import { idInAddress, leaveForShared, showAddress, whenGone } from "./address.js";
import { Chat } from "./chat.js";
import { Chooser } from "./chooser.js";
import { Composer } from "./composer.js";
import { Conversation, newChat } from "./conversation.js";
import { confirmed } from "./dialog.js";
import { element, icon } from "./dom.js";
import { dress } from "./dress.js";
import { Follower } from "./follow.js";
import { History } from "./history.js";
import { SideBar } from "./history.view.js";
import { Login } from "./login.js";
import "./media.words.js";
import { say } from "./messages.js";
import { PictureDialog } from "./pictures.js";
import { whenNobody } from "./service.js";
import { change, remove } from "./service.chats.js";
import { openSettings } from "./settings.js";
import { openChatSettings } from "./settings.chat.js";
import { openShare } from "./share.js";
import { listen } from "./shortcuts.js";
import { keepChoice, preferences } from "./store.js";
import { hush } from "./speaking.js";
import { takeOver } from "./takeover.js";
import { Transcript } from "./transcript.js";
import { Welcome, embeddedLoads } from "./welcome.js";
import "./words.js";

/** @typedef {import("./chat.js").Listed} Listed */

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));

dress();
const follower = new Follower(find("#latest"));
const login = new Login(find("#login"), find("#leave"), ({ admin }) => (find("#to-keys").hidden = !admin));
const chooser = new Chooser(find("#chooser"), choose);
const transcript = new Transcript(find("#transcript"), {
  again: () => open.again(),
  choose: openChooser,
  changed: () => follower.changed(),
  edit: (place, content) => open.edit(place, content),
  go: (variant) => open.go(variant),
});
const open = new Conversation(transcript, { shown, begun, kept: () => list.tell(), announce, notice });
const composer = new Composer(find("#composer"), {
  send: (content) => open.ask(content),
  stop: () => open.stop(),
  announce,
});
new PictureDialog();
const welcome = new Welcome(find("#welcome"), (text) => open.ask(text));
const sideBar = new SideBar(find("#side"), {
  open: go,
  change: (listed, changes) => attempt(change(listed.id, changes)),
  share,
  remove: removeChat,
});
const list = new History(listed, () => open.chat.id);

find("textarea").placeholder = say("placeholder");
for (const id of ["#new", "#new-here"]) find(id).addEventListener("click", beginNewChat);
const acts = {
  "#choice": openChooser,
  "#private": () => changeTo(newChat({ isPrivate: !open.chat.isPrivate })),
  "#share": () => share(open.chat),
  "#chat-settings": () => openChatSettings(open.chat.settings, (settings) => open.keepSettings(settings)),
  "#settings": () => openSettings(() => list.tell(), showHint),
  "#archived": showArchive,
};
for (const [id, act] of Object.entries(acts)) find(id).addEventListener("click", act);
listen({
  newChat: beginNewChat,
  seek: () => sideBar.seek(),
  toggleSide: () => sideBar.toggle(),
  editLast: () => transcript.editLast(),
  stop: () => (sideBar.isOpen ? sideBar.close() : hush() || open.stop()),
});
whenNobody(() => login.enter());
if (!leaveForShared()) begin();

async function begin() {
  showHint();
  whenGone(showChat);
  showChat(idInAddress());
  welcome.watch();
  await login.enter().catch(() => {}); // what is wrong the chat itself tells: the service does not answer
  if (await takeOver()) list.tell();
  else list.refresh();
}

/** @param {string | null} id */
function showChat(id) {
  changeTo(id === null ? newChat() : new Chat({ id }));
}

function beginNewChat() {
  sideBar.close();
  showAddress(null);
  changeTo(newChat());
}

/** @param {Listed} listed */
async function go({ id, message }) {
  if (id !== open.chat.id) {
    showAddress(id);
    await changeTo(new Chat({ id }));
  }
  if (!message) return;
  follower.release();
  open.reveal(message);
}

/** @param {Chat} chat */
async function changeTo(chat) {
  open.open(chat);
  follower.jump();
  list.unread.delete(chat.id);
  sideBar.show(list);
  composer.focus();
  if (isAddressed()) await open.load();
}

/** @returns {boolean} the service has the open chat, as far as one knows, or will have it */
function isAddressed() {
  return idInAddress() === open.chat.id;
}

/** @param {import("./turn.js").Answer} answer */
function begun(answer) {
  const { id, isPrivate, settings } = open.chat;
  if (!isPrivate) showAddress(id, true);
  if (!isPrivate) list.expect(id);
  if (embeddedLoads(welcome.providers)) transcript.viewOf(answer)?.wait(say("embeddedWaits"));
  shown();
  composer.focus();
  follower.jump();
  announce(say("answering", { name: settings.model ? (settings.label ?? settings.model) : say("title") }));
}

/** @param {string} text told to screen readers, once: at the beginning and the end of an answer, and when it hangs */
function announce(text) {
  if (find("#announcement").textContent !== text) find("#announcement").textContent = text;
}

/** @param {string} text */
function notice(text) {
  find("#notice").textContent = text;
  find("#notice").hidden = text === "";
}

function shown() {
  const { title, isPrivate, leaf, settings } = open.chat;
  const isEmpty = leaf.parent === null;
  const name = settings.label || settings.model || say("auto");
  document.title = title ? `${title} · ${say("title")}` : say("title");
  welcome.show(isEmpty && !isAddressed());
  composer.setRunning(open.isRunning);
  for (const id of ["#new", "#new-here"]) find(id).disabled = isEmpty && !isAddressed();
  find("#private").hidden = !isEmpty || isAddressed();
  find("#private").setAttribute("aria-pressed", String(isPrivate));
  find("#is-private").hidden = !isPrivate;
  find("#share").hidden = isPrivate || isEmpty;
  find("#choice").replaceChildren(element("span", {}, name), icon("down"));
  find("#choice").setAttribute("aria-label", say("chosen", { name }));
}

function showHint() {
  find("#hint").textContent = say(preferences.enterSends ? "hint" : "hintControl");
}

/** The list was read again; what is new in the open chat comes in. @param {History} read */
function listed(read) {
  sideBar.show(read);
  const known = read.find(open.chat.id);
  if (known && isAddressed()) open.refresh(known);
}

/** @param {Promise<unknown>} changing */
async function attempt(changing) {
  try {
    await changing;
  } catch (error) {
    announce(say("notChanged", { reason: /** @type {Error} */ (error).message }));
  }
  await list.tell();
}

/** @param {{id: string, share: string | null}} shared */
function share(shared) {
  openShare(shared, (id) => {
    shared.share = id;
    list.tell();
  });
}

/** @param {Listed} listed */
async function removeChat({ id, title }) {
  const text = say("deleteMeans", { title: title || say("untitled") });
  if (!(await confirmed(say("deleteChat"), text, say("delete")))) return;
  await attempt(remove(id).then(() => announce(say("deleted"))));
  if (id === open.chat.id) beginNewChat();
}

function showArchive() {
  list.show({ isArchive: !list.isArchive });
  find("#archived").setAttribute("aria-pressed", String(list.isArchive));
}

async function openChooser() {
  await welcome.look();
  const { provider = null, model = null, label = "" } = open.chat.settings;
  chooser.open(welcome.providers, { provider, model, label });
}

/** @param {import("./store.js").Choice} chosen */
function choose(chosen) {
  keepChoice(chosen);
  open.keepSettings({ ...open.chat.settings, ...chosen });
  composer.focus();
}
