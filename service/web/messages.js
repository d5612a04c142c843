import { preferences } from "./store.js";

/** What the page says, in each language it speaks. A plural is an object of the forms that Intl.PluralRules names. */
export const messages = {
  en: {
    title: "Causerie",
    newChat: "New chat",
    choose: "Choose a model",
    chosen: "Model: {name}. Choose another",
    filter: "Filter by name",
    auto: "Auto",
    autoHint: "the first model that is ready",
    loadingModels: "Loading the models…",
    noModels: "No model has a name like that.",
    modelsFailed: "Its models cannot be listed now.",
    moreModels: { one: "{count} more: write a longer name.", other: "{count} more: write a longer name." },
    notReady: { one: "{count} provider is not ready", other: "{count} providers are not ready" },
    models: "Models",
    close: "Close",
    conversation: "Conversation",
    message: "Message",
    placeholder: "Write a message",
    send: "Send",
    stop: "Stop",
    hint: "Enter sends, Shift+Enter breaks the line",
    you: "You",
    welcome: "What shall we talk about?",
    checking: "Looking who can answer…",
    ready: "Ready to answer: {names}.",
    embeddedReady: "The embedded model is ready. It is small: short, simple questions suit it best.",
    embeddedLoading: "The embedded model is still loading. You can ask already: the answer comes as soon as it can.",
    embeddedWaits: "The embedded model is loading. It will answer in a moment.",
    nobody: "No model is ready. Set up a provider, or look at the service's log.",
    unreachable: "The service cannot be reached. Is it running?",
    examples: "Examples",
    prompts: [
      "Explain how tides work, with a small table",
      "Write a Python function that finds duplicates in a list",
      "Plan three simple dinners for two",
      "Make this sound friendlier: “Send me the report today.”",
    ],
    smallPrompts: [
      "What is the capital of France?",
      "Why is the sky blue?",
      "What is photosynthesis?",
      "Write a Python function that reverses a string",
    ],
    answering: "{name} is answering",
    answered: "The answer is complete",
    stopped: "Stopped",
    thinking: "Thinking…",
    thought: { one: "Thought for {count} second", other: "Thought for {count} seconds" },
    thoughts: "Thoughts",
    copy: "Copy",
    copyCode: "Copy the code",
    copyAnswer: "Copy the answer",
    copied: "Copied",
    code: "Code",
    table: "Table",
    regenerate: "Answer again",
    retry: "Try again",
    chooseOther: "Choose another model",
    latest: "Jump to the latest",
    failed: "This did not work",
    failedAuth: "The provider wants a key",
    broken: "The connection broke before the answer was complete. What had arrived is kept.",
    gone: "The rest of this answer is no longer there. What had arrived is kept.",
    readingOn: "The connection broke; reading on…",
    askingAgain: "The service does not answer; trying again…",
    interrupted: "The answer was interrupted. What had been said is kept.",
    abandoned: "Nobody was there for a while, so the answer was not finished.",
    cutOff: "The answer reached its limit of length.",
    empty: "The model had nothing to say.",
    tokens: { one: "{count} token", other: "{count} tokens" },
  },
  ru: {
    title: "Causerie",
    newChat: "Новый чат",
    choose: "Выбор модели",
    chosen: "Модель: {name}. Выбрать другую",
    filter: "Поиск по названию",
    auto: "Авто",
    autoHint: "первая готовая модель",
    loadingModels: "Загружаю список моделей…",
    noModels: "Нет модели с таким названием.",
    modelsFailed: "Сейчас список моделей недоступен.",
    moreModels: {
      one: "Ещё {count}: уточните название.",
      few: "Ещё {count}: уточните название.",
      many: "Ещё {count}: уточните название.",
      other: "Ещё {count}: уточните название.",
    },
    notReady: {
      one: "{count} провайдер не готов",
      few: "{count} провайдера не готовы",
      many: "{count} провайдеров не готовы",
      other: "{count} провайдера не готовы",
    },
    models: "Модели",
    close: "Закрыть",
    conversation: "Разговор",
    message: "Сообщение",
    placeholder: "Напишите сообщение",
    send: "Отправить",
    stop: "Остановить",
    hint: "Enter — отправить, Shift+Enter — новая строка",
    you: "Вы",
    welcome: "О чём поговорим?",
    checking: "Смотрю, кто может ответить…",
    ready: "Готовы ответить: {names}.",
    embeddedReady:
      "Встроенная модель готова. Она маленькая и понимает по-английски: задавайте ей короткие простые вопросы.",
    embeddedLoading: "Встроенная модель ещё загружается. Спрашивать уже можно: ответ придёт, как только она сможет.",
    embeddedWaits: "Встроенная модель загружается и скоро ответит.",
    nobody: "Нет готовой модели. Настройте провайдера или загляните в журнал сервиса.",
    unreachable: "Сервис не отвечает. Запущен ли он?",
    examples: "Примеры",
    prompts: [
      "Объясни, откуда берутся приливы, с небольшой таблицей",
      "Напиши функцию на Python, которая находит повторы в списке",
      "Придумай три простых ужина на двоих",
      "Сделай это вежливее: «Пришлите отчёт сегодня»",
    ],
    smallPrompts: [
      "What is the capital of France?",
      "Why is the sky blue?",
      "What is photosynthesis?",
      "Write a Python function that reverses a string",
    ],
    answering: "{name} отвечает",
    answered: "Ответ готов",
    stopped: "Остановлено",
    thinking: "Думаю…",
    thought: {
      one: "Размышления: {count} секунда",
      few: "Размышления: {count} секунды",
      many: "Размышления: {count} секунд",
      other: "Размышления: {count} секунды",
    },
    thoughts: "Размышления",
    copy: "Копировать",
    copyCode: "Копировать код",
    copyAnswer: "Копировать ответ",
    copied: "Скопировано",
    code: "Код",
    table: "Таблица",
    regenerate: "Ответить заново",
    retry: "Повторить",
    chooseOther: "Выбрать другую модель",
    latest: "К последнему сообщению",
    failed: "Не получилось",
    failedAuth: "Провайдеру нужен ключ",
    broken: "Связь прервалась до конца ответа. То, что пришло, сохранено.",
    gone: "Продолжения этого ответа больше нет. То, что пришло, сохранено.",
    readingOn: "Связь прервалась, дочитываю…",
    askingAgain: "Сервис не отвечает, пробую ещё раз…",
    interrupted: "Ответ прервался. То, что было сказано, сохранено.",
    abandoned: "Страницу надолго закрыли, и ответ остался незаконченным.",
    cutOff: "Ответ достиг предельной длины.",
    empty: "Модели нечего сказать.",
    tokens: { one: "{count} токен", few: "{count} токена", many: "{count} токенов", other: "{count} токена" },
  },
};

/** Adds what another page says, in each language. @param {Record<string, object>} more */
export function learn(more) {
  for (const [tongue, words] of Object.entries(more)) Object.assign(messages[tongue], words);
}

/** @param {readonly string[]} wanted language tags, the dearest first @returns {"en" | "ru"} */
export function spoken(wanted) {
  const known = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in messages);
  return /** @type {"en" | "ru"} */ (known ?? "en");
}

export const language = spoken([preferences.language, ...(navigator.languages ?? [])]);
const plurals = new Intl.PluralRules(language);

/**
 * One message with its `{names}` filled in; `count` also chooses the plural.
 * @param {string} key @param {Record<string, string | number>} [values] @returns {string}
 */
export function say(key, values = {}) {
  const message = messages[language][key];
  const form = typeof message === "string" ? message : message[plurals.select(Number(values.count))];
  return form.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** @param {string} key a message that is a list @returns {string[]} */
export const list = (key) => messages[language][key];
