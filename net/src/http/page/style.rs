//! How the status page looks. Nothing is loaded from anywhere: system fonts, and colours for light and dark.

/// The style sheet.
pub(super) const STYLE: &str = "
:root{color-scheme:light dark;--ink:#23201a;--soft:#6f6859;--paper:#faf7f0;--card:#fffdf8;--rule:#e4dccb;
--grain:#b8862b;--leaf:#3f7d58;--sky:#3a6ea5;--bad:#b3372b;--empty:#e9e2d2}
@media(prefers-color-scheme:dark){:root{--ink:#ece5d6;--soft:#a79f8d;--paper:#181612;--card:#211e18;--rule:#37322a;
--grain:#d9a648;--leaf:#6cb58b;--sky:#78abe0;--bad:#e8776b;--empty:#3a352b}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:74rem;padding:1.2rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;font-variant-numeric:tabular-nums}
header{display:flex;flex-wrap:wrap;gap:.2rem 1rem;align-items:baseline;margin-bottom:1rem}
h1{margin:0;font-size:1.7rem;letter-spacing:-.01em}
h2{margin:0 0 .5rem;font-size:.95rem;font-weight:600;color:var(--soft)}
header p,figcaption,.note{color:var(--soft)}
p{margin:.3rem 0}
.state{padding:.05rem .7rem;border-radius:1rem;background:var(--leaf);color:var(--card);font-size:.9rem}
.state.off{background:var(--bad)}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(21rem,100%),1fr));gap:1rem}
section{background:var(--card);border:1px solid var(--rule);border-radius:.6rem;padding:1rem;min-width:0}
section.wide{grid-column:1/-1}
.big{font-size:1.7rem;line-height:1.25;margin:0}
figure{margin:0}
figcaption{font-size:.9rem;margin-top:.3rem}
svg{display:block;width:100%;height:6.5rem}
svg.bar{height:.7rem;margin:.6rem 0;border-radius:.35rem;background:var(--empty)}
svg.strip{height:auto;margin-bottom:.8rem}
.grid{stroke:var(--rule);fill:none;vector-effect:non-scaling-stroke}
.line{fill:none;stroke-width:1.6;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.area{stroke:none;opacity:.16}
.a{stroke:var(--grain);color:var(--grain);fill:var(--grain)}
.b{stroke:var(--sky);color:var(--sky);fill:var(--sky)}
.line.a,.line.b{fill:none}
b.a,b.b{font-weight:600}
.empty{fill:var(--empty)}.open{fill:var(--grain)}.sealed{fill:var(--leaf)}.damaged{fill:var(--bad)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--rule);white-space:nowrap}
th{font-weight:600;color:var(--soft)}
tr:last-child>*{border-bottom:0}
.n{text-align:right}
.bad{color:var(--bad)}
ul{margin:.3rem 0;padding-left:1.1rem;overflow-wrap:anywhere}
footer{margin-top:1.2rem;color:var(--soft);font-size:.9rem}
a{color:var(--sky)}
";
