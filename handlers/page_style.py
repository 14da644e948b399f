"""How the pages look: one style sheet, in each page, for light and dark, wide and narrow."""

STYLE = """
:root{color-scheme:light dark;--back:#f6f7f9;--card:#fff;--ink:#1c2128;--soft:#5c6672;--line:#d9dee4;--link:#0757b8;
--good:#1a7f37;--bad:#c4232d;--wait:#8a5a00;--busy:#0757b8;--idle:#5c6672;--bar:#8fb0d9;--on:#fff}
@media(prefers-color-scheme:dark){:root{--back:#0f1318;--card:#181d24;--ink:#e4e9ef;--soft:#9aa5b1;--line:#303842;
--link:#7db6ff;--good:#4ac26b;--bad:#ff7b72;--wait:#e0a834;--busy:#7db6ff;--idle:#9aa5b1;--bar:#4a6a94;--on:#0f1318}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Open Sans",sans-serif;margin:0;background:var(--back);
color:var(--ink);overflow-wrap:anywhere}
main{max-width:68rem;margin:0 auto;padding:1rem}
a{color:var(--link)}
a:focus-visible,button:focus-visible,input:focus-visible,select:focus-visible,textarea:focus-visible,
summary:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.bar{background:var(--card);border-bottom:1px solid var(--line)}
.bar>nav{max-width:68rem;margin:0 auto;padding:.6rem 1rem;display:flex;gap:1.2rem;flex-wrap:wrap;align-items:baseline}
.bar a{text-decoration:none;color:var(--soft);padding:.2rem 0}
.bar b{margin-right:auto}
.bar a[aria-current]{color:var(--ink);box-shadow:0 2px 0 var(--link)}
h1{font-size:1.4rem;line-height:1.3;margin:.4rem 0 1rem}
h2{font-size:1.05rem;margin:1.6rem 0 .6rem}
h3{font-size:1rem;margin:0;font-weight:600}
.soft,dt,small{color:var(--soft)}
small{font-size:.85rem}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.87em}
bdi,td,dd{overflow:clip;overflow-clip-margin:.35em}
time{white-space:nowrap;font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;margin:0}
dd{margin:0;min-width:0;white-space:pre-line}
.card>p:first-child,form>label:first-child,form>p:first-child{margin-top:0}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem;margin:0 0 1rem}
.state{display:inline-block;border:1px solid;border-radius:1rem;padding:0 .6rem;font-size:.82rem;line-height:1.5rem;
white-space:nowrap;font-weight:600;color:var(--idle)}
.state::before{content:"";display:inline-block;width:.5rem;height:.5rem;border-radius:50%;background:currentColor;
margin-right:.4rem}
.succeeded{color:var(--good)}.dead{color:var(--bad)}.parked,.in_doubt,.stopped{color:var(--wait)}
.ready,.running,.waiting,.retry{color:var(--busy)}
.note{padding:.6rem 1rem;margin:0 0 1rem;border:1px solid var(--line);border-left:4px solid var(--wait);
background:var(--card);border-radius:.3rem}
.note.good{border-left-color:var(--good)}.note.bad{border-left-color:var(--bad)}
label{display:block;margin:.8rem 0 .2rem}
input,textarea,select{font:inherit;color:inherit;background:var(--card);width:100%;padding:.5rem;
border:1px solid var(--line);border-radius:.4rem;min-width:0;max-width:100%}
button,.button{font:inherit;display:inline-flex;align-items:center;justify-content:center;cursor:pointer;
padding:.5rem 1.1rem;border:1px solid var(--line);border-radius:.4rem;background:var(--card);color:var(--ink);
text-decoration:none;min-height:2.75rem}
button:hover,.button:hover{border-color:var(--link)}
button.good{background:var(--good);border-color:var(--good);color:var(--on)}
button.bad{background:var(--bad);border-color:var(--bad);color:var(--on)}
.buttons{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0 0}
.filters{display:grid;grid-template-columns:2fr 2fr 1fr 1fr auto;gap:0 .8rem;align-items:end}
.filters .wide{grid-column:1/-1;margin-top:.6rem}
.filters label{margin:0 0 .2rem;font-size:.85rem;color:var(--soft)}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:.8rem;margin-top:.6rem}
summary{cursor:pointer;color:var(--soft);padding:.2rem 0}
figure{margin:0}
figcaption{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.9rem}
.key::before{content:"";display:inline-block;width:.7rem;height:.7rem;border-radius:2px;margin-right:.4rem;
background:var(--bar)}
.key.fails::before{background:var(--bad)}
.plot{display:grid;grid-template-columns:auto 1fr;gap:0 .5rem;margin:.6rem 0}
.plot svg{width:100%;height:6rem;display:block;border-bottom:1px solid var(--line)}
.scale{font-size:.75rem;color:var(--soft);display:flex;flex-direction:column;justify-content:space-between;text-align:right}
.hours{grid-column:2;display:flex;justify-content:space-between;font-size:.75rem;color:var(--soft)}
rect.all{fill:var(--bar)}rect.fails{fill:var(--bad)}rect.hour{fill:transparent}rect.hour:hover{fill:#8882}
table{border-collapse:collapse;width:100%}
th{font-size:.82rem;font-weight:600;color:var(--soft);text-align:left}
th,td{padding:.55rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
tbody tr:last-child td{border-bottom:0}
tbody tr:hover{background:#8881}
.scroll{max-height:18rem;overflow:auto}
.list{table-layout:fixed}
.list th:nth-child(1){width:8.4rem}.list th:nth-child(2){width:7.2rem}.list th:nth-child(4){width:15.5rem}
.list th:nth-child(5){width:11rem}
.list td:first-child{white-space:nowrap}
.list a{font-weight:600;text-decoration:none}
.list a:hover{text-decoration:underline}
.timeline{list-style:none;margin:0;padding:0 0 0 1.3rem;border-left:2px solid var(--line)}
.timeline>li{position:relative;margin:0 0 1rem}
.timeline>li::before{content:"";position:absolute;left:-1.78rem;top:.55rem;width:.8rem;height:.8rem;border-radius:50%;
background:var(--mark,var(--idle));border:2px solid var(--back)}
.timeline>li.succeeded{--mark:var(--good)}.timeline>li.dead{--mark:var(--bad)}
.timeline>li.parked,.timeline>li.in_doubt{--mark:var(--wait)}
.timeline>li.ready,.timeline>li.running,.timeline>li.waiting,.timeline>li.retry{--mark:var(--busy)}
.timeline>li{color:inherit}
.timeline .card{margin:0}
.timeline>.has-card::before{top:1.25rem}
.sub{display:block;font-size:.9rem}
.top{display:flex;flex-wrap:wrap;gap:.3rem .8rem;align-items:baseline}
.top>:last-child{margin-left:auto}
.head{flex-wrap:nowrap}.head h1{min-width:0}
.step p{margin:.4rem 0 0}
.reason{white-space:pre-line}
.history{list-style:none;margin:.4rem 0 0;padding:0;font-size:.9rem}
.history li{display:grid;grid-template-columns:5.2rem 5rem 7rem 1fr;gap:0 .6rem;padding:.25rem 0;
border-top:1px solid var(--line);align-items:baseline}
.history .gap{color:var(--soft);text-align:right}
pre{white-space:pre-wrap;margin:.6rem 0 0;padding:.8rem;background:var(--back);border-radius:.4rem;max-height:32rem;
overflow:auto;unicode-bidi:plaintext;tab-size:2}
.narrow{max-width:40rem}
.tick{display:flex;gap:.5rem;align-items:baseline}.tick input{width:auto}
.routes td:last-child{text-align:right;width:8rem}.routes td{vertical-align:middle}.acting{color:var(--good)}
@media(max-width:46rem){
main{padding:.8rem}
.filters{grid-template-columns:1fr 1fr;gap:.6rem .8rem}h1{font-size:1.2rem}.filters>:first-child{grid-column:1/-1}
.filters button{width:100%}
.list thead{position:absolute;clip-path:inset(50%);height:1px;width:1px;overflow:hidden}
.list,.list tbody,.list tr,.list td{display:block;border:0;padding:0}
.list tr{padding:.7rem 0;border-bottom:1px solid var(--line);display:grid;
grid-template-columns:1fr auto;gap:.1rem .8rem}
.list tr:last-child{border-bottom:0}
.list td:first-child{order:2;text-align:right}
.list .sub,.list td:nth-child(2) time{display:inline}
.list td:nth-child(2){order:4;grid-column:1/-1;color:var(--soft);font-size:.9rem}
.list td:nth-child(3){order:1}
.list td:nth-child(4){order:3;grid-column:1/-1}
.list td:nth-child(5){order:5;grid-column:1/-1;font-size:.9rem}
dl{grid-template-columns:1fr;gap:0}dd{margin:0 0 .5rem}
.history li{grid-template-columns:auto auto 1fr}
.history li>:last-child{grid-column:1/-1}
.history .why:empty{display:none}
.top>:last-child{margin-left:0}
}
@media print{.buttons,.filters,.bar{display:none}}
"""
