// What the page says, in the languages of people who asked for it. Numbers and names of languages come from Intl.

const STRINGS = {
  en: {
    skip: "Skip to the pictures", collection: "Collection", query: "What to look for", search: "Search",
    placeholder: "Search in any language", pickMedia: "Search by a photo or a video", removeMedia: "Remove the photo or video",
    hint: "Words in any language, a photo or a video you drop or paste here, or both.",
    language: "Language", detect: "Detect", detected: "Detected: {language}", filters: "Filters",
    results: "Results: {count}", from: "From the collection", like: "More like this", likeThis: "More like this picture",
    noMatch: "Perhaps nothing here matches well. These come closest.",
    none: "No picture passes these filters.", clear: "Clear the filters", emptyCollection: "This collection is empty.",
    more: "Show more", original: "Open the original", close: "Close", relevance: "Relevance {value}",
    cosine: "Similarity {value}", keys: "/ search · arrows move · Enter opens · m more like this · Esc back",
    drop: "Drop a photo or a video to search by it", notMedia: "This file is neither a picture nor a video.", searching: "Searching …",
    unreachable: "The service cannot be reached.", retry: "Try again", key: "Key", unlock: "Continue",
    keyTitle: "This collection needs a key",
    keyHint: "Ask whoever runs this service for one. It is kept until this tab closes.",
    wrongKey: "This key does not fit.", least: "from", most: "to", yes: "yes", no: "no", noPicture: "No picture",
  },
  pt: {
    skip: "Ir para as imagens", collection: "Coleção", query: "O que procurar", search: "Procurar",
    placeholder: "Procure em qualquer língua", pickMedia: "Procurar com uma foto ou um vídeo", removeMedia: "Retirar a foto ou o vídeo",
    hint: "Palavras em qualquer língua, uma foto ou um vídeo que largue ou cole aqui, ou ambas as coisas.",
    language: "Língua", detect: "Detetar", detected: "Detetada: {language}", filters: "Filtros",
    results: "Resultados: {count}", from: "Da coleção", like: "Mais como esta", likeThis: "Mais como esta imagem",
    noMatch: "Talvez nada aqui corresponda bem. Estas são as mais próximas.",
    none: "Nenhuma imagem passa estes filtros.", clear: "Limpar os filtros", emptyCollection: "Esta coleção está vazia.",
    more: "Mostrar mais", original: "Abrir o original", close: "Fechar", relevance: "Relevância {value}",
    cosine: "Semelhança {value}", keys: "/ procurar · setas movem · Enter abre · m mais como esta · Esc volta",
    drop: "Largue uma foto ou um vídeo para procurar", notMedia: "Este ficheiro não é uma imagem nem um vídeo.", searching: "A procurar …",
    unreachable: "Não é possível contactar o serviço.", retry: "Tentar de novo", key: "Chave", unlock: "Continuar",
    keyTitle: "Esta coleção precisa de uma chave",
    keyHint: "Peça-a a quem gere este serviço. Fica guardada até fechar este separador.",
    wrongKey: "Esta chave não serve.", least: "de", most: "até", yes: "sim", no: "não", noPicture: "Sem imagem",
  },
  es: {
    skip: "Ir a las imágenes", collection: "Colección", query: "Qué buscar", search: "Buscar",
    placeholder: "Busque en cualquier idioma", pickMedia: "Buscar con una foto o un vídeo", removeMedia: "Quitar la foto o el vídeo",
    hint: "Palabras en cualquier idioma, una foto o un vídeo que suelte o pegue aquí, o ambas cosas.",
    language: "Idioma", detect: "Detectar", detected: "Detectado: {language}", filters: "Filtros",
    results: "Resultados: {count}", from: "De la colección", like: "Más como esta", likeThis: "Más como esta imagen",
    noMatch: "Quizá nada coincida bien. Estas son las más cercanas.",
    none: "Ninguna imagen pasa estos filtros.", clear: "Quitar los filtros", emptyCollection: "Esta colección está vacía.",
    more: "Mostrar más", original: "Abrir el original", close: "Cerrar", relevance: "Relevancia {value}",
    cosine: "Similitud {value}", keys: "/ buscar · flechas mueven · Intro abre · m más como esta · Esc vuelve",
    drop: "Suelte una foto o un vídeo para buscar", notMedia: "Este archivo no es una imagen ni un vídeo.", searching: "Buscando …",
    unreachable: "No se puede contactar con el servicio.", retry: "Reintentar", key: "Clave", unlock: "Continuar",
    keyTitle: "Esta colección necesita una clave",
    keyHint: "Pídala a quien gestiona este servicio. Se guarda hasta cerrar esta pestaña.",
    wrongKey: "Esta clave no sirve.", least: "desde", most: "hasta", yes: "sí", no: "no", noPicture: "Sin imagen",
  },
  ar: {
    skip: "إلى الصور", collection: "المجموعة", query: "عمّ تبحث", search: "ابحث",
    placeholder: "ابحث بأي لغة", pickMedia: "ابحث بصورة أو مقطع فيديو", removeMedia: "أزل الصورة أو المقطع",
    hint: "كلمات بأي لغة، أو صورة أو مقطع فيديو تُسقطه أو تلصقه هنا، أو الاثنان معًا.",
    language: "اللغة", detect: "اكتشاف تلقائي", detected: "اكتُشفت: {language}", filters: "المرشحات",
    results: "النتائج: {count}", from: "من المجموعة", like: "المزيد مثلها", likeThis: "المزيد مثل هذه الصورة",
    noMatch: "ربما لا شيء هنا يطابق جيدًا. هذه هي الأقرب.",
    none: "لا صورة تجتاز هذه المرشحات.", clear: "أزل المرشحات", emptyCollection: "هذه المجموعة فارغة.",
    more: "أظهر المزيد", original: "افتح الأصل", close: "أغلق", relevance: "الصلة {value}",
    cosine: "التشابه {value}", keys: "/ للبحث · الأسهم للتنقل · Enter للفتح · m للمزيد مثلها · Esc للرجوع",
    drop: "أسقط صورة أو مقطع فيديو للبحث به", notMedia: "هذا الملف ليس صورة ولا مقطع فيديو.", searching: "جارٍ البحث …",
    unreachable: "لا يمكن الوصول إلى الخدمة.", retry: "أعد المحاولة", key: "المفتاح", unlock: "تابع",
    keyTitle: "تحتاج هذه المجموعة إلى مفتاح",
    keyHint: "اطلبه ممن يدير هذه الخدمة. يُحفظ حتى تغلق هذا اللسان.",
    wrongKey: "هذا المفتاح غير صالح.", least: "من", most: "إلى", yes: "نعم", no: "لا", noPicture: "لا صورة",
  },
  zh: {
    skip: "跳到图片", collection: "馆藏", query: "要找什么", search: "搜索",
    placeholder: "用任何语言搜索", pickMedia: "用照片或视频搜索", removeMedia: "移除照片或视频",
    hint: "任何语言的文字、拖放或粘贴到此处的照片或视频，或两者一起。",
    language: "语言", detect: "自动检测", detected: "检测到：{language}", filters: "筛选",
    results: "结果：{count}", from: "馆藏选览", like: "类似图片", likeThis: "与此图类似的图片",
    noMatch: "可能没有很匹配的图片，以下最为接近。",
    none: "没有符合筛选条件的图片。", clear: "清除筛选", emptyCollection: "馆藏为空。",
    more: "显示更多", original: "打开原图", close: "关闭", relevance: "相关度 {value}",
    cosine: "相似度 {value}", keys: "/ 搜索 · 方向键移动 · Enter 打开 · m 类似图片 · Esc 返回",
    drop: "拖放照片或视频即可搜索", notMedia: "此文件既不是图片也不是视频。", searching: "正在搜索……",
    unreachable: "无法连接服务。", retry: "重试", key: "密钥", unlock: "继续",
    keyTitle: "此馆藏需要密钥", keyHint: "请向服务管理者索取。密钥保留到关闭此标签页为止。",
    wrongKey: "密钥不正确。", least: "从", most: "到", yes: "是", no: "否", noPicture: "无图片",
  },
};

export const locale = choose(navigator.languages ?? [navigator.language]);
const texts = STRINGS[locale];

function choose(wanted) {
  const known = wanted.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag in STRINGS);
  return known ?? "en";
}

/** The text of a key, with `{name}` replaced by the values given. */
export function say(key, values = {}) {
  return texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** The name of a language in the language of the page. */
export function languageName(code) {
  try {
    return new Intl.DisplayNames([locale], { type: "language" }).of(code) ?? code;
  } catch {
    return code; // `und`, and what is no language tag
  }
}

export function number(value, options = {}) {
  return new Intl.NumberFormat(locale, options).format(value);
}

/** Put the page's own texts into the elements that ask for them. */
export function translatePage() {
  document.documentElement.lang = locale;
  document.documentElement.dir = locale === "ar" ? "rtl" : "ltr";
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
    if (element.tagName === "BUTTON") element.title = say(element.dataset.label);
  }
  for (const element of document.querySelectorAll("[data-placeholder]")) {
    element.placeholder = say(element.dataset.placeholder);
  }
}
