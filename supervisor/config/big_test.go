package config
import ("testing";"os";"strings";"time";"runtime";"path/filepath")
func TestBig(t *testing.T){
 for _,s:=range []string{"(", "a=1\n", "site \"x\" {\n}\n", "\"", "]\n", "a=1+", "-","a\n", "<<A\n", "${", "\"${", "locals {\na=1\n}\n", "0x\n","a b=","\xff","#","/*"} {
  p:=filepath.Join(t.TempDir(),"x.hcl")
  os.WriteFile(p,[]byte(strings.Repeat(s,(1<<20)/len(s))),0o644)
  var m,n runtime.MemStats; runtime.ReadMemStats(&m)
  st:=time.Now()
  c:=Load(p,os.LookupEnv)
  d:=time.Since(st)
  runtime.ReadMemStats(&n)
  st=time.Now()
  x:=c.Diagnostics()
  t.Logf("%q load %v alloc %dMB diags %d (%v) sites %d", s,d,(n.TotalAlloc-m.TotalAlloc)>>20,len(x),time.Since(st),len(c.Sites))
 }
}
