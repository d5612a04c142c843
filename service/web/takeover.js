/** Chats from before the service kept them lie on this device: the service takes them over, once. */
import { Refused } from "./service.js";
import { chat, importChats } from "./service.chats.js";
import { forgetOld, oldChats } from "./store.js";

/** @returns {Promise<boolean>} whether there were any */
export async function takeOver() {
  const found = oldChats();
  for (const old of found) {
    try {
      if (!(await isKept(old.id))) await importChats(conversation(old));
      forgetOld(old.id);
    } catch {
      // It stays where it is, until the page is opened again.
    }
  }
  return found.length > 0;
}

/** @param {string} id @returns {Promise<boolean>} */
async function isKept(id) {
  try {
    await chat(id);
    return true;
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return false;
    throw error;
  }
}

/** As gpt4free's clients have it, which the service reads. @param {import("./store.js").OldChat} old */
function conversation({ id, title, messages }) {
  const items = messages.map(({ role, content, reasoning, name }) => ({
    ...{ role, content },
    ...(reasoning && { reasoning: { text: reasoning } }),
    ...(name && { provider: { model: name } }),
  }));
  const now = Date.now();
  return { id, title, added: now, updated: now, items };
}
