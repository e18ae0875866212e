import re,os,subprocess,sys,keyword,builtins,importlib,pkgutil,types
D=subprocess.check_output(['rustc','--print','sysroot'],text=True).strip()+'/share/doc/rust/html'
names=set()
pat=re.compile(r'id="(?:method|tymethod|variant|associatedtype|associatedconstant|structfield|variant\.\w+\.field)\.(\w+?)(?:-\d+)?"')
for crate in ('core','alloc','std'):
    for root,dirs,files in os.walk(f'{D}/{crate}'):
        if '/arch' in root: continue
        for f in files:
            m=re.match(r'(?:struct|enum|trait|fn|macro|constant|static|type|union|primitive|keyword|derive|attr)\.(\w+)!?\.html',f)
            if m: names.add(m.group(1)); names.update(pat.findall(open(os.path.join(root,f),errors='replace').read()))
        names.update(d for d in dirs if d not in ('arch',))
kw='as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while derive cfg test allow deny warn inline must_use doc macro_rules union default global_allocator no_std feature non_exhaustive repr bool char str u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 target_os target_arch not any all unix windows path transparent packed cold ignore should_panic automatically_derived no_mangle link name rustfmt skip clippy debug_assertions std core alloc'.split()
names.update(kw)
names={n for n in names if len(n)>2 and not n.startswith('_mm') and not re.match(r'v[a-z]+q?_[a-z]+\d',n)}
print(len(names))
open(sys.argv[1]+'/rust.txt','w').write('\n'.join(sorted(names))+'\n')
n=set(keyword.kwlist)|set(keyword.softkwlist)|set(dir(builtins))
mods=[m for m in sys.stdlib_module_names if not m.startswith('_') and m not in ('antigravity','this','idlelib','lib2to3','test','tkinter','turtle','turtledemo')]
import warnings; warnings.simplefilter('ignore')
for m in mods:
    n.add(m)
    try: mod=importlib.import_module(m)
    except BaseException: continue
    todo=[mod]
    if hasattr(mod,'__path__'):
        for s in pkgutil.iter_modules(mod.__path__):
            if s.name.startswith('_') or s.name in('test','tests'): continue
            n.add(s.name)
            try: todo.append(importlib.import_module(m+'.'+s.name))
            except BaseException: pass
    for mod in todo:
        for k,v in vars(mod).items():
            if k.startswith('__') : n.add(k) ; continue
            if k.startswith('_'): continue
            n.add(k)
            if isinstance(v,type):
                n.update(x for x in dir(v) if not x.startswith('_') or x.startswith('__'))
            if isinstance(v,(types.FunctionType,)):
                n.update(v.__code__.co_varnames[:v.__code__.co_argcount+v.__code__.co_kwonlyargcount])
for t in (str,bytes,list,dict,set,int,float,tuple,object,Exception,OSError,types.FunctionType): n.update(dir(t))
n.update('self cls args kwargs __name__ __main__ __all__ __file__ __version__'.split())
n={x for x in n if len(x)>2 and x.isascii() and x.isidentifier()}
print(len(n))
open(sys.argv[1]+'/python.txt','w').write('\n'.join(sorted(n))+'\n')
