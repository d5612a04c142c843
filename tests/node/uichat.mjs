// A chat as `useChat` has it, but without React. Commands come as JSON lines, and go out as JSON lines what
// becomes of the messages; `{"done": …}` is the state after a command.
import { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from 'ai';
import { createInterface } from 'node:readline';

const [url, id] = process.argv.slice(2);
const print = line => console.log(JSON.stringify(line));

class State {
  status = 'ready';
  error = undefined;
  messages = [];
  pushMessage = message => this.#set([...this.messages, message]);
  popMessage = () => this.#set(this.messages.slice(0, -1));
  replaceMessage = (index, message) => this.#set(this.messages.map((kept, at) => (at === index ? message : kept)));
  snapshot = structuredClone;

  #set(messages) {
    this.messages = structuredClone(messages);
    const parts = this.messages.at(-1)?.parts ?? [];
    print({ text: parts.map(part => (part.type === 'text' ? part.text : '')).join('') });
  }
}

class Chat extends AbstractChat {
  constructor(state) {
    super({
      id,
      state,
      transport: new DefaultChatTransport({ api: `${url}/api/chat` }),
      onData: part => print({ data: part }),
      onToolCall: ({ toolCall }) => {
        const output = { celsius: -3, of: toolCall.input };
        this.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output });
      },
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
      onError: () => {},
    });
  }
}

const state = new State();
const chat = new Chat(state);

const commands = {
  send: ({ text, body }) => chat.sendMessage({ text }, { body }),
  start: ({ text }) => void chat.sendMessage({ text }),
  load: ({ messages }) => void (state.messages = messages),
  show: () => {},
  leave: () => chat.stop(),
  resume: () => chat.resumeStream(),
  stop: () => fetch(`${url}/backend-api/v2/turns/${state.messages.at(-1).metadata.turn}/stop`, { method: 'POST' }),
  settle: async () => {
    while (chat.status === 'submitted' || chat.status === 'streaming') await new Promise(setImmediate);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await commands[command.do](command);
  print({ done: command.do, status: chat.status, error: chat.error?.message, messages: state.messages });
}
