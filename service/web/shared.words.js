/** What the page of a shared chat says. */
import { learn } from "./messages.js";

learn({
  en: {
    sharedChat: "Shared chat",
    toOwnChats: "Causerie: to chats of your own",
    openingShared: "Opening the chat…",
    notShared: "There is no chat to be read here: it is not shared any more, or the link is incomplete.",
    emptyShared: "Nothing has been said in this chat yet.",
    sharedUnreachable: "The chat cannot be read now. This page goes on trying.",
    sharedChanged: "The chat has changed",
    beingAnswered: "This is being answered…",
    sharedPicture: "A picture in the chat",
    attachedFile: "A file",
  },
  ru: {
    sharedChat: "Чат по ссылке",
    toOwnChats: "Causerie: к своим чатам",
    openingShared: "Открываю чат…",
    notShared: "Здесь нечего читать: доступ к чату закрыт или ссылка неполная.",
    emptyShared: "В этом чате пока ничего не сказано.",
    sharedUnreachable: "Сейчас чат не читается. Страница пробует дальше.",
    sharedChanged: "Чат изменился",
    beingAnswered: "Ответ готовится…",
    sharedPicture: "Изображение в чате",
    attachedFile: "Файл",
  },
});
